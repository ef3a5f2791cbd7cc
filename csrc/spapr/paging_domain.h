// SPDX-License-Identifier: MIT
//
// A domain of the IOMMU core that is made of windows: what sPAPR would be on the common framework,
// which the kernel has only domains without a table for (arch/powerpc/kernel/iommu.c:
// spapr_tce_iommu_ops). No iova is valid before a window is made for it.

#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "iommu/domain.h"
#include "spapr/hardware_table.h"
#include "spapr/lock_order.h"
#include "spapr/table_group.h"

namespace kvmiommu::spapr {

class PagingDomain final : public iommu::Domain {
  public:
    PagingDomain(const iommu::Ops& ops, Census& census, mm::PhysicalMemory& memory,
                 bool write_implies_read)
        : Domain(ops, iommu::DomainType::unmanaged, 0, {0, ~std::uint64_t{0}}),
          census_(census),
          memory_(memory),
          write_implies_read_(write_implies_read) {}

    /// Pages of 2^page_shift bytes at [start, start + size). EINVAL: no power of two, not aligned
    /// to its size, pages that the bridge has not; EEXIST it meets another one; ENOSPC there are
    /// as many as the bridge has; ENOMEM.
    Result<> create_window(std::uint64_t start, std::uint64_t size, unsigned page_shift,
                           FaultPoints& faults) EXCLUDES(mutex_);
    /// With all that is mapped in it. ENOENT no window starts there.
    Result<> remove_window(std::uint64_t start) EXCLUDES(mutex_);
    /// The window with this iova in it, or null.
    Ref<HardwareTable> window(std::uint64_t iova) const EXCLUDES(mutex_);

    Result<> attach_device(iommu::Device&) override { return {}; }
    /// EINVAL out of the windows, or smaller pages than the window's; EEXIST mapped already.
    iommu::Mapped map_pages(std::uint64_t iova, mm::PhysAddr address, std::uint64_t page_size,
                            std::uint64_t count, std::uint32_t protection,
                            FaultPoints& faults) override;
    std::uint64_t unmap_pages(std::uint64_t iova, std::uint64_t page_size,
                              std::uint64_t count) override;
    mm::PhysAddr iova_to_phys(std::uint64_t iova) const override;
    std::optional<iommu::Translation> translate(std::uint64_t iova) const override;

  private:
    Census& census_;
    mm::PhysicalMemory& memory_;
    const bool write_implies_read_;
    mutable Mutex mutex_{lock_order::kPagingDomain};
    std::vector<Ref<HardwareTable>> windows_ GUARDED_BY(mutex_);
};

}  // namespace kvmiommu::spapr
