// SPDX-License-Identifier: MIT

#include "iommu/map.h"

#include <algorithm>

namespace kvmiommu::iommu {

namespace {
constexpr Source kMap{"drivers/iommu/iommu.c: __iommu_map"};

bool map_at_once(Domain& domain, std::uint64_t iova, PhysAddr address, PageChoice choice,
                 std::uint32_t protection) {
    return choice.bytes == choice.page_size
               ? domain.map_page(iova, address, choice.page_size, protection)
               : domain.map_row(iova, address, choice.page_size, choice.count(), protection);
}

// The rest of map_by_choice(), from `done` bytes on. A function of its own, so that the common case
// needs few registers.
[[gnu::noinline]] Result<> map_runs(Domain& domain, std::uint64_t iova, PhysAddr address,
                                    std::uint64_t size, std::uint64_t done,
                                    std::uint32_t protection, FaultPoints& faults) {
    do {
        const PageChoice choice =
            choose_page_size(domain.pgsize_bitmap(), iova + done, address + done, size - done);
        if (map_at_once(domain, iova + done, address + done, choice, protection)) [[likely]] {
            done += choice.bytes;
            continue;
        }
        const Mapped mapped = domain.map_pages(iova + done, address + done, choice.page_size,
                                               choice.count(), protection, faults);
        done += mapped.bytes;
        if (mapped.refusal) {
            if (done != 0) {
                unmap_whole(domain, iova, done);
            }
            return std::unexpected(*mapped.refusal);
        }
    } while (done < size);
    return {};
}

}  // namespace

Result<> map_by_choice(Domain& domain, std::uint64_t iova, PhysAddr address, std::uint64_t size,
                       std::uint32_t protection, FaultPoints& faults) {
    if (!domain.paging()) {
        return refuse(EINVAL, "the domain has no page table", kMap);
    }
    if (domain.takes_ranges()) [[unlikely]] {
        return domain.map_range(iova, address, size, protection, faults);
    }
    const std::uint64_t sizes = domain.pgsize_bitmap();
    if (sizes == 0) {
        return refuse(ENODEV, "the domain has no page sizes", kMap);
    }
    const std::uint64_t smallest = lowest_bit(sizes);
    if (!is_aligned(iova | address | size, smallest)) {
        return refuse(EINVAL, "iova {:x}, address {:x} or size {:x} is not a multiple of {:x}",
                      kMap, iova, address, size, smallest);
    }
    if (size == 0) {
        return {};
    }
    const PageChoice first = choose_page_size(sizes, iova, address, size);
    const std::uint64_t done =
        map_at_once(domain, iova, address, first, protection) ? first.bytes : 0;
    if (done == size) [[likely]] {
        return {};
    }
    return map_runs(domain, iova, address, size, done, protection, faults);
}

namespace {

// Calls unmapped(iova, bytes, page size) for each unmap_pages().
template <class Call>
std::uint64_t unmap_each(Domain& domain, std::uint64_t iova, std::uint64_t size,
                         FaultPoints& faults, Call&& unmapped) {
    const std::uint64_t sizes = domain.pgsize_bitmap();
    if (!domain.paging() || sizes == 0 || !is_aligned(iova | size, lowest_bit(sizes))) {
        return 0;
    }
    std::uint64_t at = iova;
    for (std::uint64_t left = size; left != 0;) {
        const PageChoice choice = choose_page_size(sizes, at, at, left);
        std::uint64_t gone = choice.page_size;
        if (choice.bytes != choice.page_size || !domain.unmap_page(at, choice.page_size)) {
            gone = domain.unmap_pages(at, choice.page_size, choice.count(), faults);
            if (gone == 0) {
                break;
            }
        }
        unmapped(at, gone, choice.page_size);
        at += gone;
        left -= std::min(gone, left);
    }
    return at - iova;
}

// If more went than was asked for, a leaf may have begun before iova.
Range gone_range(std::uint64_t iova, std::uint64_t asked, std::uint64_t gone) {
    const std::uint64_t start = gone > asked ? align_down(iova, highest_bit(gone)) : iova;
    const std::uint64_t last = iova + (gone - 1);
    return {start, last < iova ? ~std::uint64_t{0} : last};
}

// unmap_by_choice() of a domain that takes ranges. Not inline: no other domain comes here.
[[gnu::noinline]] std::uint64_t unmap_range(Domain& domain, std::uint64_t iova, std::uint64_t size,
                                            FaultPoints& faults) {
    const Unmapped unmapped = domain.unmap_range(iova, size, faults);
    if (Iotlb* const iotlb = domain.iotlb()) {
        for (const Range range : unmapped.ranges) {
            iotlb->unmapped(range);
        }
    }
    return unmapped.bytes;
}

// Adds what was unmapped to a gather; what does not belong to it is invalidated first.
void gather_range(Domain& domain, Iotlb& iotlb, Range gone, std::uint64_t page_size,
                  IotlbGather& gather) {
    iotlb.mark_unmapped(gone);
    // (include/linux/iommu.h: iommu_iotlb_gather_is_disjoint)
    const bool touches = gather.empty() || (gone.last + 1 >= gather.range.start &&
                                            gone.start <= gather.range.last + 1);
    if (!gather.empty() && (gather.page_size != page_size || !touches)) {
        iotlb_sync(domain, gather);
    }
    gather.page_size = page_size;
    gather.range = {std::min(gather.range.start, gone.start),
                    std::max(gather.range.last, gone.last)};
}

}  // namespace

std::uint64_t unmap_by_choice(Domain& domain, std::uint64_t iova, std::uint64_t size,
                              FaultPoints& faults) {
    if (domain.takes_ranges()) [[unlikely]] {
        return unmap_range(domain, iova, size, faults);
    }
    const std::uint64_t gone = unmap_each(domain, iova, size, faults, [](auto...) {});
    if (gone != 0) {
        invalidate_unmapped(domain, iova, size, gone);
    }
    return gone;
}

void invalidate(Iotlb& iotlb, std::uint64_t iova, std::uint64_t asked, std::uint64_t gone) {
    iotlb.unmapped(gone_range(iova, asked, gone));
}

std::uint64_t unmap_fast(Domain& domain, std::uint64_t iova, std::uint64_t size,
                         IotlbGather& gather, FaultPoints& faults) {
    Iotlb* const iotlb = domain.iotlb();
    if (domain.takes_ranges()) {
        const Unmapped unmapped = domain.unmap_range(iova, size, faults);
        for (const Range range : unmapped.ranges) {
            if (iotlb != nullptr) {
                gather_range(domain, *iotlb, range, lowest_bit(domain.pgsize_bitmap()), gather);
            }
        }
        return unmapped.bytes;
    }
    return unmap_each(domain, iova, size, faults,
                      [&](std::uint64_t at, std::uint64_t bytes, std::uint64_t page_size) {
                          if (iotlb != nullptr) {
                              gather_range(domain, *iotlb, gone_range(at, iova + size - at, bytes),
                                           page_size, gather);
                          }
                      });
}

void iotlb_sync(Domain& domain, IotlbGather& gather) {
    if (Iotlb* const iotlb = domain.iotlb(); iotlb != nullptr && !gather.empty()) {
        iotlb->invalidate(gather.range);
    }
    gather = {};
}

}  // namespace kvmiommu::iommu
