// SPDX-License-Identifier: MIT

#include "iommu/map.h"

namespace kvmiommu::iommu {

namespace {
constexpr Source kMap{"drivers/iommu/iommu.c: __iommu_map"};

// Is the range one page of the domain's? Then there is nothing to choose. A domain without a table
// has no page sizes.
bool is_one_page(const Domain& domain, std::uint64_t start, std::uint64_t size) {
    return (domain.pgsize_bitmap() & size) != 0 && is_power_of_two(size) && is_aligned(start, size);
}

Result<> map_by_choice(Domain& domain, std::uint64_t iova, PhysAddr address, std::uint64_t size,
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
        if (choice.count == 1 &&
            domain.map_page(iova + done, address + done, choice.page_size, protection)) {
            done += choice.page_size;
            continue;
        }
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

}  // namespace

Result<> map(Domain& domain, std::uint64_t iova, PhysAddr address, std::uint64_t size,
             std::uint32_t protection, FaultPoints& faults) {
    if (is_one_page(domain, iova | address, size) &&
        domain.map_page(iova, address, size, protection)) [[likely]] {
        return {};
    }
    return map_by_choice(domain, iova, address, size, protection, faults);
}

std::uint64_t unmap(Domain& domain, std::uint64_t iova, std::uint64_t size) {
    if (is_one_page(domain, iova, size) && domain.unmap_page(iova, size)) [[likely]] {
        return size;
    }
    if (!domain.paging() || domain.pgsize_bitmap() == 0 ||
        !is_aligned(iova | size, lowest_bit(domain.pgsize_bitmap()))) {
        return 0;
    }
    std::uint64_t done = 0;
    while (done < size) {
        const PageChoice choice =
            choose_page_size(domain.pgsize_bitmap(), iova + done, iova + done, size - done);
        if (choice.count == 1 && domain.unmap_page(iova + done, choice.page_size)) {
            done += choice.page_size;
            continue;
        }
        const std::uint64_t gone = domain.unmap_pages(iova + done, choice.page_size, choice.count);
        if (gone == 0) {
            break;
        }
        done += gone;
    }
    return done;
}

}  // namespace kvmiommu::iommu
