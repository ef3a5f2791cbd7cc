// SPDX-License-Identifier: MIT
//
// The credentials and resource limits of a task: user id, capabilities, rlimits
// (include/linux/cred.h, kernel/capability.c; kernel/sys.c: do_prlimit).

#pragma once

#include <array>
#include <cstdint>

namespace kvmiommu::fs {

/// The capabilities that this kernel checks (include/uapi/linux/capability.h).
enum class Capability : std::uint8_t {
    dac_override = 1,   // CAP_DAC_OVERRIDE
    setuid = 7,         // CAP_SETUID
    ipc_lock = 14,      // CAP_IPC_LOCK
    sys_rawio = 17,     // CAP_SYS_RAWIO
    sys_admin = 21,     // CAP_SYS_ADMIN
    sys_resource = 24,  // CAP_SYS_RESOURCE
};

struct Credentials {
    std::uint32_t uid = 0;
    std::uint64_t capabilities = ~std::uint64_t{0};  // a bit for each number

    bool capable(Capability capability) const {
        return (capabilities >> static_cast<unsigned>(capability) & 1) != 0;
    }
};

inline constexpr std::uint64_t kUnlimited = ~std::uint64_t{0};  // RLIM_INFINITY

struct ResourceLimit {
    std::uint64_t soft = kUnlimited;
    std::uint64_t hard = kUnlimited;
};

/// Resources by number (RLIMIT_NOFILE 7, RLIMIT_MEMLOCK 8 on every machine that is modelled).
enum class Resource : std::uint8_t { nofile = 7, memlock = 8 };
inline constexpr unsigned kResources = 16;

/// sysctl_nr_open: no RLIMIT_NOFILE is above it.
inline constexpr std::uint64_t kMostFiles = 1 << 20;

struct ResourceLimits {
    std::array<ResourceLimit, kResources> by_number{};

    ResourceLimits() { by_number[static_cast<unsigned>(Resource::nofile)] = {1024, kMostFiles}; }
    std::uint64_t soft(Resource resource) const {
        return by_number[static_cast<unsigned>(resource)].soft;
    }
};

}  // namespace kvmiommu::fs
