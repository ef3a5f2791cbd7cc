// SPDX-License-Identifier: MIT
//
// A paging domain of windows: sPAPR on the common framework, of which Linux has only the domains
// without a page table (arch/powerpc/kernel/iommu.c: spapr_tce_iommu_ops). An iova is valid in a
// window only.

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

    /// A window [start, start + size) with pages of 2^page_shift bytes.
    /// EINVAL size is no power of two, or start is not a multiple of it
    /// EINVAL pages below 2^12 or above 2^34 bytes, or larger than the window
    /// ENOSPC there are as many windows as a bridge has
    /// EEXIST it meets another window
    /// ENOMEM
    Result<> create_window(std::uint64_t start, std::uint64_t size, unsigned page_shift,
                           FaultPoints& faults) EXCLUDES(mutex_);
    /// Removes the window that starts there, with all that is mapped in it.
    /// ENOENT no window starts there
    Result<> remove_window(std::uint64_t start) EXCLUDES(mutex_);
    /// The window with this iova in it, or null.
    Ref<HardwareTable> window(std::uint64_t iova) const EXCLUDES(mutex_);

    Result<> attach_device(iommu::Device&, FaultPoints&) override { return {}; }
    /// EINVAL not within a window, pages smaller than the window's, or no rights
    /// EEXIST a page is mapped already
    /// ENOMEM
    iommu::Mapped map_pages(std::uint64_t iova, mm::PhysAddr address, std::uint64_t page_size,
                            std::uint64_t count, std::uint32_t protection,
                            FaultPoints& faults) override;
    std::uint64_t unmap_pages(std::uint64_t iova, std::uint64_t page_size, std::uint64_t count,
                              FaultPoints& faults) override;
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
