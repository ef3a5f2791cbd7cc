// SPDX-License-Identifier: MIT
//
// The PAMU of Freescale's embedded POWER processors, which has no page tables: a domain is one
// aperture of up to 256 windows of one size, each of which maps one contiguous piece of memory
// (drivers/iommu/fsl_pamu_domain.c, until 5.12, when windows could be enabled one by one; QorIQ
// P4080 Reference Manual, chapter "Peripheral Access Management Unit").

#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "base/base.h"
#include "iommu/lock_order.h"
#include "iommu/translation.h"
#include "mm/physical_memory.h"

namespace kvmiommu::iommu {

class PamuDomain {
  public:
    /// Sets the aperture to [start, start + size), without windows. (configure_domain_geometry)
    /// EBUSY DMA is enabled
    /// EINVAL size is no power of two from 4 KiB on, or start is not a multiple of it
    Result<> set_geometry(std::uint64_t start, std::uint64_t size) EXCLUDES(mutex_);
    /// Divides the aperture into windows that map nothing. (fsl_pamu_set_windows)
    /// EBUSY DMA is enabled
    /// EINVAL there is no aperture
    /// EINVAL no power of two, more than 256, or windows below 4 KiB
    Result<> set_windows(std::uint32_t count) EXCLUDES(mutex_);
    /// Maps window `number` to `size` bytes at `address`. (fsl_pamu_window_enable)
    /// ENODEV there are no windows
    /// EINVAL there is no window of that number
    /// EINVAL size is larger than a window or no power of two, or address is not a multiple of it
    /// EBUSY it is the only window, and DMA is enabled
    /// EBUSY it maps something
    Result<> enable_window(std::uint32_t number, mm::PhysAddr address, std::uint64_t size,
                           std::uint32_t protection) EXCLUDES(mutex_);
    /// Makes window `number` map nothing. (fsl_pamu_window_disable)
    /// ENODEV there are no windows
    /// EINVAL there is no window of that number
    Result<> disable_window(std::uint32_t number) EXCLUDES(mutex_);
    /// Enables or disables DMA. (configure_domain_dma_state)
    /// ENODEV no window maps anything
    Result<> enable_dma(bool on) EXCLUDES(mutex_);

    /// The physical address behind an iova; 0: none.
    mm::PhysAddr iova_to_phys(std::uint64_t iova) const EXCLUDES(mutex_);
    /// The translation that a device meets; none: a fault.
    std::optional<Translation> translate(std::uint64_t iova) const EXCLUDES(mutex_);

  private:
    struct Window {
        bool valid = false;
        mm::PhysAddr address = 0;
        std::uint64_t size = 0;
        std::uint32_t protection = 0;
    };
    Result<> check_window(std::uint32_t number) const REQUIRES(mutex_);
    const Window* window_of(std::uint64_t iova) const REQUIRES(mutex_);
    std::uint64_t window_size() const REQUIRES(mutex_) { return size_ / windows_.size(); }

    mutable Mutex mutex_{lock_order::kDriverDomain};
    std::uint64_t start_ GUARDED_BY(mutex_) = 0;
    std::uint64_t size_ GUARDED_BY(mutex_) = 0;  // 0: not set yet
    std::vector<Window> windows_ GUARDED_BY(mutex_);
    bool dma_on_ GUARDED_BY(mutex_) = false;
};

}  // namespace kvmiommu::iommu
