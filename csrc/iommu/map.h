// SPDX-License-Identifier: MIT
//
// Mapping and unmapping ranges: how the core splits them into the pages that a domain has
// (drivers/iommu/iommu.c: iommu_map, iommu_unmap, iommu_pgsize).

#pragma once

#include <cstdint>

#include "base/base.h"
#include "iommu/domain.h"

namespace kvmiommu::iommu {

/// What map_pages() or unmap_pages() is asked for next.
struct PageChoice {
    std::uint64_t page_size;
    std::uint64_t count;
};

/// The largest page that fits, and how many of them until a larger one may fit. `iova`, `address`
/// and `size` (not 0) are multiples of the smallest page of `pgsize_bitmap` (not 0).
PageChoice choose_page_size(std::uint64_t pgsize_bitmap, std::uint64_t iova, PhysAddr address,
                            std::uint64_t size);

/// Maps [iova, iova + size) to [address, address + size). EINVAL no paging domain, or something is
/// not a multiple of the smallest page; ENODEV no page sizes; else what the driver says. A refused
/// map leaves nothing mapped. Size 0 maps nothing.
Result<> map(Domain& domain, std::uint64_t iova, PhysAddr address, std::uint64_t size,
             std::uint32_t protection, FaultPoints& faults);

/// Unmaps from `iova` on and answers the bytes that went: fewer than `size` when a hole ended it,
/// more when a large leaf went whole, 0 when iova or size is not a multiple of the smallest page.
std::uint64_t unmap(Domain& domain, std::uint64_t iova, std::uint64_t size);

}  // namespace kvmiommu::iommu
