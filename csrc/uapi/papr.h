// SPDX-License-Identifier: MIT
//
// The hypercalls of a POWER guest that concern TCE tables, and their return codes.
//
// Source: the PAPR specification (LoPAR, "TCE hypervisor calls"), as Linux 6.12 handles them. These
// names are not part of Linux's user interface; programs define their own.

#pragma once

#include <cstdint>

namespace kvmiommu::uapi {

// ---- Hypercalls

// The number is in r3. Arguments begin at r4: the window's number (liobn), the I/O bus address,
// then those of each call. The return code is in r3, the entry that H_GET_TCE reads in r4.

inline constexpr std::uint32_t H_GET_TCE = 0x1c;
inline constexpr std::uint32_t H_PUT_TCE = 0x20;
inline constexpr std::uint32_t H_STUFF_TCE = 0x138;  // one value, r7 times
// The r7 entries of a list in guest memory, at most 512.
inline constexpr std::uint32_t H_PUT_TCE_INDIRECT = 0x13c;

// ---- Return codes

inline constexpr std::int32_t H_SUCCESS = 0;
inline constexpr std::int32_t H_BUSY = 1;
inline constexpr std::int32_t H_CLOSED = 2;
inline constexpr std::int32_t H_NOT_AVAILABLE = 3;
inline constexpr std::int32_t H_CONSTRAINED = 4;
inline constexpr std::int32_t H_PARTIAL = 5;
// Linux's own, never returned to a guest: user space handles the hypercall.
inline constexpr std::int32_t H_TOO_HARD = 9999;
inline constexpr std::int32_t H_HARDWARE = -1;
inline constexpr std::int32_t H_FUNCTION = -2;
inline constexpr std::int32_t H_PRIVILEGE = -3;
inline constexpr std::int32_t H_PARAMETER = -4;
inline constexpr std::int32_t H_NO_MEM = -9;
inline constexpr std::int32_t H_AUTHORITY = -10;
inline constexpr std::int32_t H_PERMISSION = -11;
inline constexpr std::int32_t H_RESOURCE = -16;
inline constexpr std::int32_t H_TABLE_FULL = -41;
inline constexpr std::int32_t H_RESCINDED = -46;
inline constexpr std::int32_t H_P2 = -55;
inline constexpr std::int32_t H_P3 = -56;
inline constexpr std::int32_t H_P4 = -57;
inline constexpr std::int32_t H_P5 = -58;

// ---- A translation control entry

inline constexpr std::uint64_t TCE_PCI_READ = 1ULL << 0;  // the device may read
inline constexpr std::uint64_t TCE_PCI_WRITE = 1ULL << 1;

}  // namespace kvmiommu::uapi
