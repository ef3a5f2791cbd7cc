// SPDX-License-Identifier: MIT
//
// The encoding of ioctl numbers, in both variants of Linux.
//
// A request has a direction, a type (the driver's letter), a number (nr) and the size of its
// argument. Most architectures encode them in 2, 8, 8 and 14 bits; POWER, like a few others, in 3,
// 8, 8 and 13, with other values for the directions and one for "no argument". So a program for
// POWER uses other numbers than the same program for x86.
//
// Source: include/uapi/asm-generic/ioctl.h and arch/powerpc/include/uapi/asm/ioctl.h.

#pragma once

#include <cstdint>

namespace kvmiommu::uapi {

// The encoding: that of x86, arm64, riscv and most others, or that of POWER.
enum class Abi : std::uint8_t { generic, power };

// Seen from the program, as the kernel's macros have it: _IO, _IOW, _IOR, _IOWR. Some requests
// were given the wrong one and keep it.
enum class Direction : std::uint8_t { none, write, read, read_write };

struct Request {
    Direction direction;
    std::uint8_t type;
    std::uint8_t nr;
    std::uint16_t size;
    // Registers have another length on POWER than on x86; everything else has one length.
    std::uint16_t power_size = size;

    constexpr std::uint32_t number(Abi abi) const {
        const std::uint32_t low = std::uint32_t{type} << 8 | nr;
        if (abi == Abi::power)
            return power_direction() << 29 | std::uint32_t{power_size} << 16 | low;
        return generic_direction() << 30 | std::uint32_t{size} << 16 | low;
    }

    constexpr bool operator==(const Request&) const = default;

  private:
    constexpr std::uint32_t generic_direction() const {
        switch (direction) {
            case Direction::none:
                return 0;
            case Direction::write:
                return 1;
            case Direction::read:
                return 2;
            case Direction::read_write:
                return 3;
        }
        return 0;
    }

    constexpr std::uint32_t power_direction() const {
        switch (direction) {
            case Direction::none:
                return 1;
            case Direction::read:
                return 2;
            case Direction::write:
                return 4;
            case Direction::read_write:
                return 6;
        }
        return 1;
    }
};

// By length, for arguments that have no struct here.
constexpr Request request_of(Direction direction, std::uint32_t type, std::uint32_t nr,
                             std::uint32_t size, std::uint32_t power_size) {
    return {direction, static_cast<std::uint8_t>(type), static_cast<std::uint8_t>(nr),
            static_cast<std::uint16_t>(size), static_cast<std::uint16_t>(power_size)};
}

constexpr Request io(std::uint32_t type, std::uint32_t nr) {
    return request_of(Direction::none, type, nr, 0, 0);
}

constexpr Request iow_bytes(std::uint32_t type, std::uint32_t nr, std::uint32_t size) {
    return request_of(Direction::write, type, nr, size, size);
}

constexpr Request iow_bytes(std::uint32_t type, std::uint32_t nr, std::uint32_t size,
                            std::uint32_t power_size) {
    return request_of(Direction::write, type, nr, size, power_size);
}

constexpr Request ior_bytes(std::uint32_t type, std::uint32_t nr, std::uint32_t size) {
    return request_of(Direction::read, type, nr, size, size);
}

constexpr Request ior_bytes(std::uint32_t type, std::uint32_t nr, std::uint32_t size,
                            std::uint32_t power_size) {
    return request_of(Direction::read, type, nr, size, power_size);
}

constexpr Request iowr_bytes(std::uint32_t type, std::uint32_t nr, std::uint32_t size) {
    return request_of(Direction::read_write, type, nr, size, size);
}

// By the type of the argument. 13 bits of length are POWER's limit.
template <class Argument>
constexpr Request iow(std::uint32_t type, std::uint32_t nr) {
    static_assert(sizeof(Argument) < 1U << 13);
    return iow_bytes(type, nr, sizeof(Argument));
}

template <class Argument>
constexpr Request ior(std::uint32_t type, std::uint32_t nr) {
    static_assert(sizeof(Argument) < 1U << 13);
    return ior_bytes(type, nr, sizeof(Argument));
}

template <class Argument>
constexpr Request iowr(std::uint32_t type, std::uint32_t nr) {
    static_assert(sizeof(Argument) < 1U << 13);
    return iowr_bytes(type, nr, sizeof(Argument));
}

// Numbers that real machines were seen to use: VFIO_GET_API_VERSION, the last of VFIO's first
// range, KVM_SET_DEVICE_ATTR (24 bytes in), KVM_ASSIGN_PCI_DEVICE (64 out), KVM_CREATE_DEVICE (12
// both ways).
static_assert(io(';', 100).number(Abi::generic) == 0x3b64);
static_assert(io(';', 100).number(Abi::power) == 0x20003b64);
static_assert(io(';', 121).number(Abi::generic) == 0x3b79);
static_assert(io(';', 121).number(Abi::power) == 0x20003b79);
static_assert(iow_bytes(0xae, 0xe1, 24).number(Abi::generic) == 0x4018aee1);
static_assert(iow_bytes(0xae, 0xe1, 24).number(Abi::power) == 0x8018aee1);
static_assert(ior_bytes(0xae, 0x69, 64).number(Abi::generic) == 0x8040ae69);
static_assert(ior_bytes(0xae, 0x69, 64).number(Abi::power) == 0x4040ae69);
static_assert(iowr_bytes(0xae, 0xe0, 12).number(Abi::generic) == 0xc00caee0);
static_assert(iowr_bytes(0xae, 0xe0, 12).number(Abi::power) == 0xc00caee0);

}  // namespace kvmiommu::uapi
