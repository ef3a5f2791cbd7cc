// SPDX-License-Identifier: MIT

#include "iommu/semantics/mapping_list.h"

#include <iterator>

namespace kvmiommu::iommu {

namespace {
Range range_of(const MappingList::Mappings::value_type& entry) {
    return {entry.first, entry.first + (entry.second.size - 1)};
}
}  // namespace

MappingList::Mappings::const_iterator MappingList::from(std::uint64_t iova) const {
    const auto behind = mappings_.upper_bound(iova);
    if (behind != mappings_.begin() && range_of(*std::prev(behind)).last >= iova) {
        return std::prev(behind);
    }
    return behind;
}

std::optional<std::uint64_t> MappingList::last() const {
    return mappings_.empty() ? std::nullopt : std::optional(range_of(*mappings_.rbegin()).last);
}

RangeSet MappingList::mapped(const RangeSet& set) const {
    RangeSet mapped;
    for (const Range range : set.ranges()) {
        for (auto at = from(range.start); at != mappings_.end() && at->first <= range.last; ++at) {
            mapped.add(*range_of(*at).intersection(range));
        }
    }
    return mapped;
}

void MappingList::remove(const RangeSet& set) {
    for (const Range range : set.ranges()) {
        remove(range);
    }
}

void MappingList::remove(Range range) {
    for (auto at = from(range.start); at != mappings_.end() && at->first <= range.last;) {
        const auto [start, last] = range_of(*at);
        const Mapping mapping = at->second;
        at = mappings_.erase(at);
        if (start < range.start) {
            Mapping front = mapping;
            front.size = range.start - start;
            mappings_.emplace(start, front);
        }
        if (last > range.last) {
            Mapping back = mapping;
            back.size = last - range.last;
            back.address += range.last + 1 - start;
            mappings_.emplace(range.last + 1, back);
        }
    }
}

void MappingList::set_page_sizes(std::uint64_t page_sizes) {
    for (auto& [iova, mapping] : mappings_) {
        mapping.page_sizes = page_sizes;
    }
}

}  // namespace kvmiommu::iommu
