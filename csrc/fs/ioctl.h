// SPDX-License-Identifier: MIT
//
// One request that a kind of file performs, as a row of its table (ioctl_table.h). The row's
// function is called with the struct copied in and its size checked.
//
// Three framings exist. The number of a KVM request encodes the size of its struct. A VFIO struct
// begins with argsz, and the smallest version of the struct is copied in (EFAULT comes before the
// check of argsz). An iommufd struct begins with its size, which may be smaller or larger than the
// struct that this kernel knows; bytes beyond that must be zero (include/linux/uaccess.h:
// copy_struct_from_user).

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

/// The properties of a request that do not depend on the object.
struct IoctlShape {
    // The request's number for each ABI, computed at compile time.
    std::uint32_t generic_number;
    std::uint32_t power_number;
    Framing framing;
    std::uint16_t size;      // bytes of the struct as this kernel knows it
    std::uint16_t smallest;  // bytes that a caller must pass
    std::uint16_t leftover;  // errno for bytes beyond `size` that are not zero; 0: not checked
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
    std::uint64_t argument;         // the caller's: a number or a pointer
    std::byte* block = nullptr;     // the struct; bytes that were not copied in are zero
    std::uint32_t given = 0;        // the caller's size of the struct
    std::uint32_t reply_bytes = 0;  // bytes that are copied back; `smallest` unless changed
};

/// Copies the struct of a call in and checks its size.
/// KVM, VFIO:
/// EFAULT the struct, its smallest version for VFIO, cannot be read
/// EINVAL VFIO: argsz is below the smallest struct
/// iommufd:
/// EFAULT the size cannot be read
/// EINVAL the size is below the smallest struct
/// IoctlShape::leftover a byte beyond the known struct is not zero
/// EFAULT a byte of the struct cannot be read
Result<> copy_block_in(const IoctlShape& shape, IoctlCall& call);
/// Copies the first `bytes` bytes of the struct back to the caller.
/// EFAULT they cannot be written
Result<> copy_block_out(const IoctlCall& call, std::uint64_t bytes);

/// The struct of a call, and its address in user memory.
template <class T>
class Block {
  public:
    explicit Block(IoctlCall& call) : call_(call) {}

    Task& task() const { return call_.task; }
    T* operator->() const { return reinterpret_cast<T*>(call_.block); }
    T& operator*() const { return *reinterpret_cast<T*>(call_.block); }
    /// The caller's pointer to it.
    mm::UserPtr<T> user() const { return mm::UserPtr<T>(call_.argument); }
    /// Sets the bytes that are copied back when the call succeeds: by default the smallest struct.
    void reply(std::uint64_t bytes) {
        call_.reply_bytes = static_cast<std::uint32_t>(std::min<std::uint64_t>(bytes, sizeof(T)));
    }
    /// Copies the struct back now, for calls that fail afterwards: `bytes` of it, at most the
    /// caller's size.
    /// EFAULT they cannot be written
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

// The offset of a member's end. offsetof() does not accept a pointer to member.
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

/// A request whose argument is a number, or a pointer that the function itself copies through:
/// Result<int64_t> Object::method(Task&, uint64_t).
template <auto Method>
constexpr IoctlRow<detail::ObjectOf<Method>> value_row(uapi::Request request) {
    return {detail::shape(request, Framing::value, 0, 0, 0, Reply::never),
            &detail::call_value<Method>};
}

/// A KVM request: the number encodes the size of the struct.
/// Result<int64_t> Object::method(Block<Struct>).
template <auto Method>
constexpr IoctlRow<detail::ObjectOf<Method>> kvm_row(uapi::Request request,
                                                     Reply reply = Reply::never) {
    using Struct = detail::StructOf<Method>;
    static_assert(std::is_trivially_copyable_v<Struct> && sizeof(Struct) <= kLargestBlock);
    return {detail::shape(request, Framing::kvm, sizeof(Struct), sizeof(Struct), 0, reply),
            &detail::call_block<Method>};
}

/// A VFIO request. The smallest struct ends with the member `last`: up to there it is copied in,
/// and with Reply::success copied back.
template <auto Method, class Member>
consteval IoctlRow<detail::ObjectOf<Method>> vfio_row(uapi::Request request,
                                                      Member detail::StructOf<Method>::* last,
                                                      Reply reply = Reply::never) {
    using Struct = detail::StructOf<Method>;
    static_assert(std::is_trivially_copyable_v<Struct> && sizeof(Struct) <= kLargestBlock);
    return {detail::shape(request, Framing::vfio, sizeof(Struct), detail::end_of(last), 0, reply),
            &detail::call_block<Method>};
}

/// An iommufd request. The smallest struct ends with the member `last`. Members that the caller's
/// struct lacks read as zero; bytes that this kernel does not know must be zero (E2BIG).
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
