// SPDX-License-Identifier: MIT
//
// Mapping and unmapping ranges: how the core splits them into the pages that a domain has
// (drivers/iommu/iommu.c: iommu_map, iommu_unmap, iommu_pgsize).

#pragma once

#include <bit>
#include <cstdint>
#include <utility>

#include "base/base.h"
#include "iommu/domain.h"

namespace kvmiommu::iommu {

/// The argument of the next map_pages() or unmap_pages(): `bytes` is a multiple of `page_size`.
struct PageChoice {
    std::uint64_t page_size;
    std::uint64_t bytes;

    std::uint64_t count() const { return bytes >> std::countr_zero(page_size); }
};

/// The largest page that fits, and as many of them as there are until a larger one fits. `iova`,
/// `address` and `size` (not 0) are multiples of the smallest page of `pgsize_bitmap` (not 0).
/// (iommu_pgsize)
inline PageChoice choose_page_size(std::uint64_t pgsize_bitmap, std::uint64_t iova,
                                   PhysAddr address, std::uint64_t size) {
    const std::uint64_t either = iova | address;
    // Pages not larger than the size, and not larger than what both are aligned to.
    const std::uint64_t aligned = pgsize_bitmap & (either ^ (either - 1));
    if (aligned == 0) {
        std::unreachable();  // the smallest page is in it
    }
    std::uint64_t page_size = highest_bit(aligned);
    if (page_size > size) {
        page_size = highest_bit(aligned & up_to(size));
    }
    if (size == page_size) {
        return {page_size, size};
    }
    const std::uint64_t next = lowest_bit(pgsize_bitmap & -(page_size << 1));
    // Up to the next multiple of the next size, if iova and address reach one together and a page
    // of that size fits behind it; otherwise up to the end.
    if (next != 0 && ((iova ^ address) & (next - 1)) == 0) {
        const std::uint64_t to_next = next - (either & (next - 1));
        if (to_next <= size && next <= size - to_next) {
            size = to_next;
        }
    }
    return {page_size, align_down(size, page_size)};
}

/// Is the range one page of the domain, so that there is nothing to choose? Never of a domain
/// without a page table.
inline bool is_one_page(const Domain& domain, std::uint64_t start, std::uint64_t size) {
    return (domain.pgsize_bitmap() & size) != 0 && is_power_of_two(size) && is_aligned(start, size);
}

/// The rest of map() and of unmap(), which are inline for one page alone.
Result<> map_by_choice(Domain& domain, std::uint64_t iova, PhysAddr address, std::uint64_t size,
                       std::uint32_t protection, FaultPoints& faults);
std::uint64_t unmap_by_choice(Domain& domain, std::uint64_t iova, std::uint64_t size,
                              FaultPoints& faults);

/// Invalidates what was unmapped: `gone` bytes of `asked`, from `iova` on.
void invalidate(Iotlb& iotlb, std::uint64_t iova, std::uint64_t asked, std::uint64_t gone);
inline void invalidate_unmapped(Domain& domain, std::uint64_t iova, std::uint64_t asked,
                                std::uint64_t gone) {
    if (Iotlb* const iotlb = domain.iotlb(); iotlb != nullptr) [[unlikely]] {
        invalidate(*iotlb, iova, asked, gone);
    }
}

/// Maps [iova, iova + size) to [address, address + size); refused, nothing of it stays mapped. Size
/// 0 maps nothing. (iommu_map) EINVAL the domain has no page table ENODEV the domain has no page
/// sizes EINVAL iova, address or size is not a multiple of the smallest page or as
/// Domain::map_pages()
inline Result<> map(Domain& domain, std::uint64_t iova, PhysAddr address, std::uint64_t size,
                    std::uint32_t protection, FaultPoints& faults) {
    if (is_one_page(domain, iova | address, size) &&
        domain.map_page(iova, address, size, protection)) [[likely]] {
        return {};
    }
    return map_by_choice(domain, iova, address, size, protection, faults);
}

/// Unmaps [iova, iova + size) and invalidates it. Returns the bytes that are unmapped now: fewer
/// than `size` if a hole ended it, more if a larger leaf went whole, 0 if iova or size is not a
/// multiple of the smallest page. A split of a larger leaf allocates a table; without memory it
/// ends there. (iommu_unmap)
inline std::uint64_t unmap(Domain& domain, std::uint64_t iova, std::uint64_t size,
                           FaultPoints& faults) {
    if (is_one_page(domain, iova, size) && domain.unmap_page(iova, size)) [[likely]] {
        invalidate_unmapped(domain, iova, size, size);
        return size;
    }
    return unmap_by_choice(domain, iova, size, faults);
}

/// As unmap(), of a range that no page reaches out of: none is split, so nothing is allocated. For
/// undoing, which cannot fail.
inline std::uint64_t unmap_whole(Domain& domain, std::uint64_t iova, std::uint64_t size) {
    FaultPoints none;
    return unmap(domain, iova, size, none);
}

/// Unmaps that are not invalidated yet (include/linux/iommu.h: iommu_iotlb_gather): pages of one
/// size in one range.
struct IotlbGather {
    Range range{~std::uint64_t{0}, 0};  // empty when its start is behind its end
    std::uint64_t page_size = 0;

    bool empty() const { return range.start > range.last; }
};

/// As unmap(), but it is iotlb_sync() with the same gather that invalidates. If the gather holds
/// pages of another size or a range that does not touch, it is synced first. (iommu_unmap_fast)
std::uint64_t unmap_fast(Domain& domain, std::uint64_t iova, std::uint64_t size,
                         IotlbGather& gather, FaultPoints& faults);
/// Invalidates what was gathered. (iommu_iotlb_sync)
void iotlb_sync(Domain& domain, IotlbGather& gather);

}  // namespace kvmiommu::iommu
