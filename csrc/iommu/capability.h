// SPDX-License-Identifier: MIT
//
// What an IOMMU can do for a device (include/linux/iommu.h: iommu_cap).

#pragma once

#include <cstdint>

namespace kvmiommu::iommu {

enum class Capability : std::uint8_t {
    /// DMA is coherent with the processor's caches, if the device asks for it (IOMMU_CACHE).
    cache_coherency,
    /// Mappings can forbid execution (IOMMU_NOEXEC).
    noexec,
    /// The firmware had the IOMMU protect memory before the kernel started.
    pre_boot_protection,
    /// A domain of the device can be made to snoop always: Domain::enforce_cache_coherency().
    enforce_cache_coherency,
    /// Invalidations may wait in a flush queue.
    deferred_flush,
    /// A domain of the device can be allocated to track what is written to.
    dirty_tracking,
};

}  // namespace kvmiommu::iommu
