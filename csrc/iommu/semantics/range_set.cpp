// SPDX-License-Identifier: MIT

#include "iommu/semantics/range_set.h"

#include <algorithm>
#include <iterator>

namespace kvmiommu::iommu {

RangeSet::Lasts::const_iterator RangeSet::find(std::uint64_t iova) const {
    const auto behind = lasts_.upper_bound(iova);
    if (behind == lasts_.begin() || std::prev(behind)->second < iova) {
        return lasts_.end();
    }
    return std::prev(behind);
}

std::vector<Range> RangeSet::ranges() const {
    std::vector<Range> ranges;
    ranges.reserve(lasts_.size());
    for (const auto& [start, last] : lasts_) {
        ranges.push_back({start, last});
    }
    return ranges;
}

std::uint64_t RangeSet::size() const {
    std::uint64_t size = 0;
    for (const auto& [start, last] : lasts_) {
        size += last - start + 1;
    }
    return size;
}

void RangeSet::add(Range range) {
    auto at = lasts_.upper_bound(range.start);
    // A range that ends where this one begins becomes part of it.
    if (at != lasts_.begin() && (range.start == 0 || std::prev(at)->second >= range.start - 1)) {
        --at;
    }
    while (at != lasts_.end() && (range.last == ~std::uint64_t{0} || at->first <= range.last + 1)) {
        range.start = std::min(range.start, at->first);
        range.last = std::max(range.last, at->second);
        at = lasts_.erase(at);
    }
    lasts_.emplace_hint(at, range.start, range.last);
}

void RangeSet::add(const RangeSet& other) {
    for (const auto& [start, last] : other.lasts_) {
        add({start, last});
    }
}

RangeSet RangeSet::without(const RangeSet& other) const {
    RangeSet rest;
    for (const auto& [start, last] : lasts_) {
        std::uint64_t at = start;
        auto next = other.lasts_.upper_bound(at);
        if (next != other.lasts_.begin() && std::prev(next)->second >= at) {
            --next;
        }
        bool all = false;  // of this range has been looked at
        for (; !all && next != other.lasts_.end() && next->first <= last; ++next) {
            if (next->first > at) {
                rest.lasts_.emplace(at, next->first - 1);
            }
            all = next->second >= last;
            at = next->second + 1;
        }
        if (!all) {
            rest.lasts_.emplace(at, last);
        }
    }
    return rest;
}

}  // namespace kvmiommu::iommu
