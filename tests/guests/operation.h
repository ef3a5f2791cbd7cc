// SPDX-License-Identifier: MIT
//
// One call of a random program, as a transcript has it: descriptors and addresses are names, which
// get their values when the program runs. So the same operation can be made by any task, and
// printed as a line that `kvmiommu replay` plays.

#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "uapi/ioctl.h"

namespace kvmiommu::guests {

/// What a program has names for. The order is that of kNames.
enum class Name : std::uint8_t {
    none,
    container0,
    container1,
    container2,
    group0,
    group1,
    group2,
    group3,
    device0,
    device1,
    device2,
    device3,
    device4,
    eventfd0,
    eventfd1,
    eventfd2,
    eventfd3,
    memfd0,
    memfd1,
    kvm,
    vm0,
    vm1,
    kvm_device0,
    kvm_device1,
    table0,
    table1,
    table2,
    copy0,
    copy1,
    buffer0,
    buffer1,
    buffer2,
    mapping0,
    mapping1,
};
inline constexpr std::array kNames{"",   "c0", "c1", "c2", "g0", "g1", "g2", "g3", "d0",
                                   "d1", "d2", "d3", "d4", "e0", "e1", "e2", "e3", "m0",
                                   "m1", "k",  "v0", "v1", "x0", "x1", "t0", "t1", "t2",
                                   "f0", "f1", "b0", "b1", "b2", "r0", "r1"};
static_assert(kNames.size() == static_cast<unsigned>(Name::mapping1) + 1);

constexpr std::string_view text(Name name) {
    return kNames[static_cast<unsigned>(name)];
}

/// A number, or what a name stands for and a number more.
struct Number {
    Number() = default;
    Number(std::uint64_t number) : value(number) {}
    Number(Name of, std::uint64_t more = 0) : name(of), value(more) {}

    Name name = Name::none;
    std::uint64_t value = 0;
};

/// A field of an argument block, little-endian and without padding before it.
struct Token {
    enum class Type : std::uint8_t { u8, u16, u32, u64, fd, ptr, str, zero };

    Type type = Type::u32;
    Number number;      // of zero: how many bytes
    std::string chars;  // of str, without the NUL
};

/// A request, and its name where it has one.
struct NamedRequest {
    std::string_view name;
    std::uint32_t raw = 0;  // where it has none
    uapi::Request request = {};

    std::uint32_t number(uapi::Abi abi) const { return name.empty() ? raw : request.number(abi); }
};

struct Operation {
    enum class Call : std::uint8_t {
        mem,
        unmem,
        protect,
        poke,
        peek,
        open,
        close,
        dup,
        eventfd,
        memfd,
        truncate,
        ioctl,
        mmap,
        read,
        pread,
        write,
        pwrite,
        poll,
        memlock,
        uid,
        fail,
        status,
        guest,
        hcall,
    };

    Call call = Call::status;
    Name result = Name::none;  // what the call makes
    Number fd;
    std::string path;
    NamedRequest request;
    std::vector<Token> tokens;      // the block of an ioctl, or what is written
    std::array<Number, 5> numbers;  // in the order of the transcript's line
    std::uint8_t count = 0;         // of them
    bool shared = false;            // of mem
    bool readonly = false;
    Name bound = Name::none;  // an ioctl's field that it answers
    std::uint32_t bound_offset = 0;
};

}  // namespace kvmiommu::guests
