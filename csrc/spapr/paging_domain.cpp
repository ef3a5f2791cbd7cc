// SPDX-License-Identifier: MIT

#include "spapr/paging_domain.h"

#include <algorithm>
#include <bit>
#include <utility>

namespace kvmiommu::spapr {

namespace {

constexpr Source kSource{"kvmiommu: spapr/paging_domain.h"};
constexpr unsigned kLeastShift = 12;
constexpr unsigned kMostShift = 34;
constexpr unsigned kIndexBits = 9;

}  // namespace

Result<> PagingDomain::create_window(std::uint64_t start, std::uint64_t size, unsigned page_shift,
                                     FaultPoints& faults) {
    if (!is_power_of_two(size) || !is_aligned(start, size) || page_shift < kLeastShift ||
        page_shift > kMostShift || size >> page_shift == 0) {
        return refuse(EINVAL, "a window of {:x} bytes at {:x} with pages of 2^{} bytes", kSource,
                      size, start, page_shift);
    }
    const std::uint64_t pages = size >> page_shift;
    const auto bits = static_cast<unsigned>(std::bit_width(pages - 1));
    const Lock lock(mutex_);
    if (windows_.size() == kMostWindows) {
        return refuse(ENOSPC, "there are {} windows, as many as a bridge has", kSource,
                      windows_.size());
    }
    for (const auto& other : windows_) {
        if (start - other->start() < other->bytes() || other->start() - start < size) {
            return refuse(EEXIST, "[{:x}, + {:x}) meets the window at {:x}", kSource, start, size,
                          other->start());
        }
    }
    const unsigned levels = std::max((bits + kIndexBits - 1) / kIndexBits, 1U);
    windows_.push_back(TRY(HardwareTable::create(census_, memory_,
                                                 {.page_shift = page_shift,
                                                  .offset = start >> page_shift,
                                                  .size = pages,
                                                  .allocated = 0,
                                                  .levels = levels,
                                                  .tree_levels = levels,
                                                  .index_bits = kIndexBits,
                                                  .reach = pages,
                                                  .write_implies_read = write_implies_read_,
                                                  .beyond = EINVAL},
                                                 faults)));
    set_pgsize_bitmap(pgsize_bitmap() | std::uint64_t{1} << page_shift);
    return {};
}

Result<> PagingDomain::remove_window(std::uint64_t start) {
    Ref<HardwareTable> gone;
    const Lock lock(mutex_);
    const auto found = std::find_if(windows_.begin(), windows_.end(),
                                    [&](const auto& each) { return each->start() == start; });
    if (found == windows_.end()) {
        return refuse(ENOENT, "no window starts at {:x}", kSource, start);
    }
    gone = std::move(*found);
    windows_.erase(found);
    std::uint64_t sizes = 0;
    for (const auto& each : windows_) {
        sizes |= each->page_size();
    }
    set_pgsize_bitmap(sizes);
    return {};
}

Ref<HardwareTable> PagingDomain::window(std::uint64_t iova) const {
    const Lock lock(mutex_);
    for (const auto& each : windows_) {
        if (each->holds(iova >> each->page_shift())) {
            return each;
        }
    }
    return nullptr;
}

iommu::Mapped PagingDomain::map_pages(std::uint64_t iova, mm::PhysAddr address,
                                      std::uint64_t page_size, std::uint64_t count,
                                      std::uint32_t protection, FaultPoints& faults) {
    iommu::Mapped mapped;
    const Ref<HardwareTable> table = window(iova);
    const std::uint64_t bytes = page_size * count;
    const std::uint64_t rights = ((protection & iommu::kRead) != 0 ? uapi::TCE_PCI_READ : 0) |
                                 ((protection & iommu::kWrite) != 0 ? uapi::TCE_PCI_WRITE : 0);
    if (!table || page_size < table->page_size() || bytes > table->bytes() ||
        iova - table->start() > table->bytes() - bytes || rights == 0) {
        mapped.refusal = refuse(EINVAL,
                                "{:x} bytes at iova {:x} are in no window, or in pieces of "
                                "{:x}, or without rights",
                                kSource, bytes, iova, page_size)
                             .error();
        return mapped;
    }
    while (mapped.bytes < bytes) {
        const std::uint64_t page = (iova + mapped.bytes) >> table->page_shift();
        if (table->get(page).rights != 0) {
            mapped.refusal =
                refuse(EEXIST, "iova {:x} is mapped already", kSource, iova + mapped.bytes).error();
            return mapped;
        }
        const auto old = table->exchange(page, {address + mapped.bytes, rights}, faults);
        if (!old) {
            mapped.refusal = old.error();
            return mapped;
        }
        mapped.bytes += table->page_size();
    }
    return mapped;
}

std::uint64_t PagingDomain::unmap_pages(std::uint64_t iova, std::uint64_t page_size,
                                        std::uint64_t count, FaultPoints& faults) {
    const Ref<HardwareTable> table = window(iova);
    if (!table || page_size < table->page_size()) {
        return 0;
    }
    const std::uint64_t bytes = page_size * count;
    std::uint64_t done = 0;
    while (done < bytes) {
        const std::uint64_t page = (iova + done) >> table->page_shift();
        const auto old = table->exchange(page, {}, faults);
        if (!old || old->rights == 0) {
            break;
        }
        done += table->page_size();
    }
    return done;
}

mm::PhysAddr PagingDomain::iova_to_phys(std::uint64_t iova) const {
    const auto found = translate(iova);
    return found ? found->address : 0;
}

std::optional<iommu::Translation> PagingDomain::translate(std::uint64_t iova) const {
    const Ref<HardwareTable> table = window(iova);
    return table ? table->translate(iova) : std::nullopt;
}

}  // namespace kvmiommu::spapr
