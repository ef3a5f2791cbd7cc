// SPDX-License-Identifier: MIT

#include "iommu/semantics/shared_table.h"

#include <algorithm>
#include <cassert>
#include <optional>

namespace kvmiommu::iommu {

namespace {
constexpr Source kSource{"kvmiommu: iommu/semantics/semantics.h"};
}

IommuDevice in_common(IommuDevice one, const IommuDevice& other) {
    one.address_width = std::min(one.address_width, other.address_width);
    one.page_sizes &= other.page_sizes;
    one.enforces_cache_coherency &= other.enforces_cache_coherency;
    one.dirty_tracking &= other.dirty_tracking;
    return one;
}

bool are_alike(const IommuDevice& one, const IommuDevice& other) {
    return one.stage == other.stage && one.address_width == other.address_width &&
           one.page_sizes == other.page_sizes &&
           one.enforces_cache_coherency == other.enforces_cache_coherency &&
           one.dirty_tracking == other.dirty_tracking;
}

Result<std::unique_ptr<SharedTable>> SharedTable::create(Ops& ops, const IommuDevice& iommu,
                                                         bool apart, bool snoops,
                                                         const MappingList& list,
                                                         FaultPoints& faults) {
    std::unique_ptr<SharedTable> table(new SharedTable(ops, iommu));
    table->apart = apart;
    table->domain_ = TRY(ops.domain_alloc_paging(table->device_, faults));
    Domain& domain = *table->domain_;
    if (domain.pgsize_bitmap() == 0) {
        return refuse(EINVAL, "the driver has no table for page sizes {:x}", kSource,
                      iommu.page_sizes);
    }
    TRY(domain.attach_device(table->device_, faults));
    if (snoops && !domain.enforce_cache_coherency()) {
        return refuse(EINVAL, "the domain forces snooping, the device's IOMMU cannot", kSource);
    }
    if (const auto last = list.last(); last && *last > domain.aperture().last) {
        return refuse(EINVAL, "something is mapped at {:x}, and the device's IOMMU ends at {:x}",
                      kSource, *last, domain.aperture().last);
    }
    for (const auto& [iova, mapping] : list.all()) {
        TRY(table->map(iova, mapping, faults));
    }
    return table;
}

std::uint64_t SharedTable::sizes_of(std::uint64_t page_sizes) const {
    const std::uint64_t own = domain_->pgsize_bitmap();
    return apart || (page_sizes & own) == 0 ? own : page_sizes & own;
}

std::uint64_t SharedTable::sizes_in_use(const MappingList& list) const {
    std::uint64_t sizes = 0;
    for (const auto& [iova, mapping] : list.all()) {
        for (std::uint64_t done = 0; done < mapping.size;) {
            const PageChoice choice = choose_page_size(sizes_of(mapping.page_sizes), iova + done,
                                                       mapping.address + done, mapping.size - done);
            sizes |= choice.page_size;
            done += choice.bytes;
        }
    }
    return sizes;
}

Result<> SharedTable::map(std::uint64_t iova, const Mapping& mapping, FaultPoints& faults) {
    const std::uint64_t sizes = sizes_of(mapping.page_sizes);
    const auto [size, address, protection, unused] = mapping;
    if (!is_aligned(iova | address | size, lowest_bit(sizes))) {
        return refuse(EINVAL, "iova {:x}, address {:x} or size {:x} is not a multiple of {:x}",
                      kSource, iova, address, size, lowest_bit(sizes));
    }
    if (const auto iovas = Range::of(iova, size);
        !iovas || iovas->last > domain_->aperture().last) {
        return refuse(ERANGE, "{:x} bytes at {:x}, and an IOMMU of the domain ends at {:x}",
                      kSource, size, iova, domain_->aperture().last);
    }
    for (std::uint64_t done = 0; done < size;) {
        const PageChoice choice = choose_page_size(sizes, iova + done, address + done, size - done);
        const Mapped mapped = domain_->map_pages(iova + done, address + done, choice.page_size,
                                                 choice.count(), protection, faults);
        done += mapped.bytes;
        if (mapped.refusal) {
            unmap_whole(*domain_, iova, done);
            return std::unexpected(*mapped.refusal);
        }
    }
    return {};
}

void SharedTable::unmap(std::uint64_t iova, std::uint64_t size, std::uint64_t page_sizes,
                        const MappingList& list, Taken& taken, FaultPoints& faults) {
    const std::uint64_t sizes = sizes_of(page_sizes);
    std::uint64_t at = iova;
    for (std::uint64_t left = size; left != 0;) {
        const std::uint64_t gone =
            unmap_pages(at, choose_page_size(sizes, at, at, left), list, taken.iovas, faults);
        if (gone == 0) {
            break;
        }
        at += gone;
        taken.bytes += gone;
        left -= std::min(gone, left);
    }
}

// One Domain::unmap_pages(), whose result says how much went but not where the first leaf began.
std::uint64_t SharedTable::unmap_pages(std::uint64_t iova, PageChoice choice,
                                       const MappingList& list, RangeSet& taken,
                                       FaultPoints& faults) {
    if (!domain_->counts_unmapped()) {
        const auto there = leaves({iova, iova + (choice.bytes - 1)}, list, taken);
        const std::uint64_t gone =
            domain_->unmap_pages(iova, choice.page_size, choice.count(), faults);
        for (const Range leaf : there) {
            if (!domain_->translate(leaf.start)) {
                taken.add(leaf);
            }
        }
        return gone;
    }
    const auto first = domain_->translate(iova);
    const std::uint64_t gone = domain_->unmap_pages(iova, choice.page_size, choice.count(), faults);
    if (gone != 0) {
        const bool whole = first && !domain_->translate(first->leaf.start);
        const std::uint64_t start = whole ? first->leaf.start : iova;
        taken.add({start, start + (gone - 1)});
    }
    return gone;
}

// The leaves that meet a range.
std::vector<Range> SharedTable::leaves(Range range, const MappingList& list,
                                       const RangeSet& taken) const {
    std::vector<Range> leaves;
    RangeSet all;
    all.add(range);
    for (const Range mapped : list.mapped(all).without(taken).ranges()) {
        std::uint64_t last = 0;
        for (std::uint64_t at = mapped.start; last < mapped.last; at = last + 1) {
            leaves.push_back(domain_->translate(at)->leaf);
            last = leaves.back().last;
        }
    }
    return leaves;
}

void SharedTable::take(const RangeSet& set, std::uint64_t page_sizes, const MappingList& list,
                       Taken& taken, FaultPoints& faults) {
    const std::uint64_t bytes = taken.bytes;
    const std::uint64_t before = taken.iovas.size();
    for (const Range range : set.ranges()) {
        std::uint64_t last = 0;
        for (std::uint64_t at = range.start; last < range.last; at = last + 1) {
            if (!taken.iovas.contains(at)) {
                const Range leaf = domain_->translate(at)->leaf;
                // To the end of a leaf that it begins inside of; else as far as it goes.
                const std::uint64_t end =
                    leaf.start < at ? std::min(leaf.last, range.last) : range.last;
                unmap(at, end - at + 1, page_sizes, list, taken, faults);
                if (!taken.iovas.contains(at)) {
                    unmap(leaf.start, leaf.size(), page_sizes, list, taken, faults);
                }
                assert(taken.iovas.contains(at));
            }
            last = taken.iovas.last_from(at);
        }
    }
    taken.bytes = bytes + (taken.iovas.size() - before);
}

}  // namespace kvmiommu::iommu
