// SPDX-License-Identifier: MIT
//
// What a kernel is built for and which release it is, as far as calls return something else for it.

#pragma once

#include <cstdint>

#include "uapi/ioctl.h"

namespace kvmiommu::fs {

/// The architecture of a machine's processors.
enum class Arch : std::uint8_t { x86_64, ppc64le, aarch64, riscv64 };

/// How an architecture encodes requests (arch/ARCH/include/uapi/asm/ioctl.h).
constexpr uapi::Abi abi_of(Arch arch) {
    return arch == Arch::ppc64le ? uapi::Abi::power : uapi::Abi::generic;
}

/// The release whose user interfaces a machine has, the oldest first.
enum class Interfaces : std::uint8_t { v6_12, v7_2 };

}  // namespace kvmiommu::fs
