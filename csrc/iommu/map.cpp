// SPDX-License-Identifier: MIT

#include "iommu/map.h"

#include <algorithm>

namespace kvmiommu::iommu {

namespace {
constexpr Source kMap{"drivers/iommu/iommu.c: __iommu_map"};
}

PageChoice choose_page_size(std::uint64_t pgsize_bitmap, std::uint64_t iova, PhysAddr address,
                            std::uint64_t size) {
    const std::uint64_t either = iova | address;
    std::uint64_t possible = pgsize_bitmap & (highest_bit(size) | (highest_bit(size) - 1));
    if (either != 0) {
        possible &= lowest_bit(either) | (lowest_bit(either) - 1);
    }
    const std::uint64_t page_size = highest_bit(possible);
    const std::uint64_t next = lowest_bit(pgsize_bitmap & ~(page_size | (page_size - 1)));
    // Small pages go on to where the next size begins, if both sides reach such a place together
    // and one page of that size fits behind it; otherwise to the end.
    if (next != 0 && ((iova ^ address) & (next - 1)) == 0) {
        const std::uint64_t to_next = next - (either & (next - 1));
        if (to_next + next >= next && to_next + next <= size) {
            size = to_next;
        }
    }
    return {page_size, size / page_size};
}

Result<> map(Domain& domain, std::uint64_t iova, PhysAddr address, std::uint64_t size,
             std::uint32_t protection, FaultPoints& faults) {
    if (!domain.paging()) {
        return refuse(EINVAL, "the domain has no page table", kMap);
    }
    if (domain.pgsize_bitmap() == 0) {
        return refuse(ENODEV, "the domain has no page sizes", kMap);
    }
    const std::uint64_t smallest = lowest_bit(domain.pgsize_bitmap());
    if (!is_aligned(iova | address | size, smallest)) {
        return refuse(EINVAL, "iova {:x}, address {:x} or size {:x} is not a multiple of {:x}",
                      kMap, iova, address, size, smallest);
    }
    std::uint64_t done = 0;
    while (done < size) {
        const PageChoice choice =
            choose_page_size(domain.pgsize_bitmap(), iova + done, address + done, size - done);
        const Mapped mapped = domain.map_pages(iova + done, address + done, choice.page_size,
                                               choice.count, protection, faults);
        done += mapped.bytes;
        if (mapped.refusal) {
            if (done != 0) {
                unmap(domain, iova, done);
            }
            return std::unexpected(*mapped.refusal);
        }
    }
    return {};
}

std::uint64_t unmap(Domain& domain, std::uint64_t iova, std::uint64_t size) {
    if (!domain.paging() || domain.pgsize_bitmap() == 0 ||
        !is_aligned(iova | size, lowest_bit(domain.pgsize_bitmap()))) {
        return 0;
    }
    std::uint64_t done = 0;
    while (done < size) {
        const PageChoice choice =
            choose_page_size(domain.pgsize_bitmap(), iova + done, iova + done, size - done);
        const std::uint64_t gone = domain.unmap_pages(iova + done, choice.page_size, choice.count);
        if (gone == 0) {
            break;
        }
        done += gone;
    }
    return done;
}

}  // namespace kvmiommu::iommu
