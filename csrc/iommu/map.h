// SPDX-License-Identifier: MIT
//
// Mapping and unmapping ranges: how the core splits them into the pages that a domain has
// (drivers/iommu/iommu.c: iommu_map, iommu_unmap, iommu_pgsize).

#pragma once

#include <bit>
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
inline PageChoice choose_page_size(std::uint64_t pgsize_bitmap, std::uint64_t iova,
                                   PhysAddr address, std::uint64_t size) {
    const std::uint64_t either = iova | address;
    // Pages not larger than the size, and not larger than what both are aligned to.
    const std::uint64_t possible = pgsize_bitmap & (either ^ (either - 1)) & up_to(size);
    const std::uint64_t page_size = highest_bit(possible);
    if (size == page_size) {
        return {page_size, 1};
    }
    const std::uint64_t next = lowest_bit(pgsize_bitmap & ~up_to(page_size));
    // Small pages go on to where the next size begins, if both sides reach such a place together
    // and one page of that size fits behind it; otherwise to the end.
    if (next != 0 && ((iova ^ address) & (next - 1)) == 0) {
        const std::uint64_t to_next = next - (either & (next - 1));
        if (to_next + next >= next && to_next + next <= size) {
            size = to_next;
        }
    }
    return {page_size, size >> std::countr_zero(page_size)};
}

/// Maps [iova, iova + size) to [address, address + size). EINVAL no paging domain, or something is
/// not a multiple of the smallest page; ENODEV no page sizes; else what the driver says. A refused
/// map leaves nothing mapped. Size 0 maps nothing.
Result<> map(Domain& domain, std::uint64_t iova, PhysAddr address, std::uint64_t size,
             std::uint32_t protection, FaultPoints& faults);

/// Unmaps from `iova` on and answers the bytes that went: fewer than `size` when a hole ended it,
/// more when a large leaf went whole, 0 when iova or size is not a multiple of the smallest page.
/// Then the IOTLB is told of it.
std::uint64_t unmap(Domain& domain, std::uint64_t iova, std::uint64_t size);

/// Unmaps whose invalidation is still to come (include/linux/iommu.h: iommu_iotlb_gather): pages of
/// one size in one range.
struct IotlbGather {
    Range range{~std::uint64_t{0}, 0};  // empty when its start is behind its end
    std::uint64_t page_size = 0;

    bool empty() const { return range.start > range.last; }
};

/// As unmap(), but the translations that devices may still have are left for iotlb_sync() with the
/// same gather. What does not fit to what is gathered is preceded by a sync.
std::uint64_t unmap_fast(Domain& domain, std::uint64_t iova, std::uint64_t size,
                         IotlbGather& gather);
/// Invalidates what was gathered.
void iotlb_sync(Domain& domain, IotlbGather& gather);

}  // namespace kvmiommu::iommu
