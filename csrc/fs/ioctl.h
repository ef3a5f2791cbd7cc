// SPDX-License-Identifier: MIT
//
// One request that a kind of file performs, as a row of its table (ioctl_table.h): the function of
// a row sees its struct already copied in and checked for size.
//
// Three framings exist. KVM's requests carry the size of their struct in their number. VFIO's
// carry none: the struct begins with argsz, and only the smallest struct that ever was is copied
// in (a fault comes before the check of argsz). iommufd's structs begin with their size, which
// may be shorter or longer than what this kernel knows; bytes beyond must be zero.

#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>

#include "base/base.h"
#include "fs/task.h"
#include "mm/mm.h"
#include "uapi/ioctl.h"

namespace kvmiommu::fs {

enum class Framing : std::uint8_t { value, kvm, vfio, iommufd };

/// When the struct is written back to the caller.
enum class Reply : std::uint8_t { never, success };

/// What a row says of a request before any object sees it.
struct IoctlShape {
    // Worked out when the table is compiled: what a call is compared with, for each ABI.
    std::uint32_t generic_number;
    std::uint32_t power_number;
    Framing framing;
    std::uint16_t size;      // bytes of the struct as this kernel knows it
    std::uint16_t smallest;  // bytes that a caller must give
    std::uint16_t leftover;  // errno for bytes that are not zero beyond `size`; 0: not looked at
    Reply reply;

    constexpr std::uint32_t number(uapi::Abi abi) const {
        return abi == uapi::Abi::power ? power_number : generic_number;
    }
};

/// The largest struct that a request has.
inline constexpr std::size_t kLargestBlock = 256;

/// One call while it is performed.
struct IoctlCall {
    Task& task;
    std::uint64_t argument;         // as the caller gave it: a number or a pointer
    std::byte* block = nullptr;     // the struct; what was not copied in is zero
    std::uint32_t given = 0;        // bytes that the caller says to have room for
    std::uint32_t reply_bytes = 0;  // how much is copied back; `smallest` unless changed
};

/// Copies the struct of a call in and checks its size, in the framing's order.
Result<> copy_block_in(const IoctlShape& shape, IoctlCall& call);
/// Copies the first `bytes` bytes of the struct back to the caller.
Result<> copy_block_out(const IoctlCall& call, std::uint64_t bytes);

/// The struct of a call, and the user memory it came from.
template <class T>
class Block {
  public:
    explicit Block(IoctlCall& call) : call_(call) {}

    Task& task() const { return call_.task; }
    T* operator->() const { return reinterpret_cast<T*>(call_.block); }
    T& operator*() const { return *reinterpret_cast<T*>(call_.block); }
    /// Where the caller keeps it.
    mm::UserPtr<T> user() const { return mm::UserPtr<T>(call_.argument); }
    /// Has this many bytes copied back, once the call succeeds, instead of the smallest struct.
    void reply(std::uint64_t bytes) {
        call_.reply_bytes = static_cast<std::uint32_t>(std::min<std::uint64_t>(bytes, sizeof(T)));
    }
    /// Copies the struct back now, also when the call fails afterwards: `bytes` of it, or as many
    /// as the caller has room for. EFAULT.
    Result<> respond(std::uint64_t bytes = sizeof(T)) const {
        return copy_block_out(call_, std::min({bytes, std::uint64_t{call_.given}, sizeof(T)}));
    }

  private:
    IoctlCall& call_;
};

/// One request that files of kind `Object` perform.
template <class Object>
struct IoctlRow {
    IoctlShape shape;
    Result<std::int64_t> (*function)(Object& object, IoctlCall& call);
};

namespace detail {

template <class Method>
struct MethodOf;
template <class Object_, class Argument_>
struct MethodOf<Result<std::int64_t> (Object_::*)(Task&, Argument_)> {
    using Object = Object_;
    using Argument = Argument_;
};
template <class Object_, class Struct_>
struct MethodOf<Result<std::int64_t> (Object_::*)(Block<Struct_>)> {
    using Object = Object_;
    using Struct = Struct_;
};

constexpr IoctlShape shape(uapi::Request request, Framing framing, std::size_t size,
                           std::size_t smallest, int leftover, Reply reply) {
    return {request.number(uapi::Abi::generic),
            request.number(uapi::Abi::power),
            framing,
            static_cast<std::uint16_t>(size),
            static_cast<std::uint16_t>(smallest),
            static_cast<std::uint16_t>(leftover),
            reply};
}

// Bytes up to the end of a member. offsetof() takes no pointer to one.
template <class Struct, class Member>
consteval std::size_t end_of(Member Struct::* last) {
    Struct probe{};
    probe.*last = static_cast<Member>(~Member{});
    const auto bytes = std::bit_cast<std::array<unsigned char, sizeof(Struct)>>(probe);
    std::size_t end = sizeof(Struct);
    while (bytes[end - 1] == 0) {
        --end;
    }
    return end;
}

template <auto Method>
using ObjectOf = typename MethodOf<decltype(Method)>::Object;
template <auto Method>
using StructOf = typename MethodOf<decltype(Method)>::Struct;

template <auto Method>
Result<std::int64_t> call_value(ObjectOf<Method>& object, IoctlCall& call) {
    return (object.*Method)(call.task, call.argument);
}
template <auto Method>
Result<std::int64_t> call_block(ObjectOf<Method>& object, IoctlCall& call) {
    return (object.*Method)(Block<StructOf<Method>>(call));
}

}  // namespace detail

/// A request whose argument is a number, or a pointer that its function follows itself:
/// Result<int64_t> Object::method(Task&, uint64_t).
template <auto Method>
constexpr IoctlRow<detail::ObjectOf<Method>> value_row(uapi::Request request) {
    return {detail::shape(request, Framing::value, 0, 0, 0, Reply::never),
            &detail::call_value<Method>};
}

/// A KVM request: the struct has the size that the number says.
/// Result<int64_t> Object::method(Block<Struct>).
template <auto Method>
constexpr IoctlRow<detail::ObjectOf<Method>> kvm_row(uapi::Request request,
                                                     Reply reply = Reply::never) {
    using Struct = detail::StructOf<Method>;
    static_assert(std::is_trivially_copyable_v<Struct> && sizeof(Struct) <= kLargestBlock);
    return {detail::shape(request, Framing::kvm, sizeof(Struct), sizeof(Struct), 0, reply),
            &detail::call_block<Method>};
}

/// A VFIO request. The smallest struct ends with its member `last`: so much is copied in and, where
/// `reply` says so, back when the call succeeds.
template <auto Method, class Member>
consteval IoctlRow<detail::ObjectOf<Method>> vfio_row(uapi::Request request,
                                                      Member detail::StructOf<Method>::* last,
                                                      Reply reply = Reply::never) {
    using Struct = detail::StructOf<Method>;
    static_assert(std::is_trivially_copyable_v<Struct> && sizeof(Struct) <= kLargestBlock);
    return {detail::shape(request, Framing::vfio, sizeof(Struct), detail::end_of(last), 0, reply),
            &detail::call_block<Method>};
}

/// An iommufd request. The smallest struct ends with its member `last`; what the caller's kernel
/// headers did not know reads as zero, what this kernel does not know must be zero (E2BIG).
template <auto Method, class Member>
consteval IoctlRow<detail::ObjectOf<Method>> iommufd_row(uapi::Request request,
                                                         Member detail::StructOf<Method>::* last) {
    using Struct = detail::StructOf<Method>;
    static_assert(std::is_trivially_copyable_v<Struct> && sizeof(Struct) <= kLargestBlock);
    return {detail::shape(request, Framing::iommufd, sizeof(Struct), detail::end_of(last), E2BIG,
                          Reply::never),
            &detail::call_block<Method>};
}

}  // namespace kvmiommu::fs
