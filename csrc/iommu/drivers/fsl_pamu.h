// SPDX-License-Identifier: MIT
//
// The PAMU of Freescale's embedded POWER processors, which has no page tables: a domain is one
// aperture, cut into up to 256 windows of one size, each of which leads to one piece of memory
// (drivers/iommu/fsl_pamu_domain.c, and as it was until 5.12, when windows could be set one by one;
// QorIQ P4080 Reference Manual, chapter "Peripheral Access Management Unit").

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
    /// The aperture [start, start + size). EBUSY DMA is on; EINVAL size is no power of two from
    /// 4 KiB on, or start is not a multiple of it. What windows there were are gone.
    Result<> set_geometry(std::uint64_t start, std::uint64_t size) EXCLUDES(mutex_);
    /// Cuts the aperture. EBUSY DMA is on; EINVAL no aperture yet, no power of two, more than 256.
    Result<> set_windows(std::uint32_t count) EXCLUDES(mutex_);
    /// Maps window `number` to `size` bytes at `address`. ENODEV it was not cut yet; EINVAL no such
    /// window, more than it holds, no power of two, an address that is no multiple of size; EBUSY
    /// it is mapped, or it is the only one and DMA is on.
    Result<> enable_window(std::uint32_t number, mm::PhysAddr address, std::uint64_t size,
                           std::uint32_t protection) EXCLUDES(mutex_);
    /// ENODEV, EINVAL as above; one that is not mapped is no error.
    Result<> disable_window(std::uint32_t number) EXCLUDES(mutex_);
    /// Lets devices through, or no longer. ENODEV nothing is mapped.
    Result<> enable_dma(bool on) EXCLUDES(mutex_);

    /// Where an iova leads; 0: nowhere.
    mm::PhysAddr iova_to_phys(std::uint64_t iova) const EXCLUDES(mutex_);
    /// What a device would reach; nothing: a fault.
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
