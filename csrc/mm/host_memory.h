// SPDX-License-Identifier: MIT
//
// The host's mappings under an owned address space.

#pragma once

#include <sys/mman.h>

#include <cstdint>
#include <cstdlib>

namespace kvmiommu::mm {

/// Maps over addresses that this program has reserved. That cannot fail but for exhaustion of the
/// host, and then a half-made mapping would be all that is left: the program ends.
inline void host_map(std::uint64_t address, std::uint64_t bytes, int protection, int flags,
                     int file, std::uint64_t offset) {
    void* const place = reinterpret_cast<void*>(address);
    if (mmap(place, bytes, protection, flags | MAP_FIXED, file, static_cast<off_t>(offset)) ==
        MAP_FAILED) {
        std::abort();
    }
}

}  // namespace kvmiommu::mm
