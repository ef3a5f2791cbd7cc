// SPDX-License-Identifier: MIT

#include "vfio/type1/iova_ranges.h"

#include <algorithm>

namespace kvmiommu::vfio {

bool IovaRanges::allows(Range range) const {
    return ranges_.empty() || std::any_of(ranges_.begin(), ranges_.end(), [&](const Range& valid) {
               return valid.contains(range);
           });
}

void IovaRanges::restrict_to(Range aperture) {
    if (ranges_.empty()) {
        ranges_.push_back(aperture);
        return;
    }
    std::vector<Range> inside;
    for (const Range& range : ranges_) {
        if (const auto part = range.intersection(aperture)) {
            inside.push_back(*part);
        }
    }
    ranges_ = std::move(inside);
}

bool IovaRanges::exclude(const std::vector<iommu::ReservedRegion>& regions) {
    for (const iommu::ReservedRegion& region : regions) {
        if (region.type == iommu::ReservedType::direct_relaxable) {
            continue;
        }
        std::vector<Range> left;
        for (const Range& range : ranges_) {
            if (!range.overlaps(region.range)) {
                left.push_back(range);
                continue;
            }
            if (region.range.start > range.start) {
                left.push_back({range.start, region.range.start - 1});
            }
            if (region.range.last < range.last) {
                left.push_back({region.range.last + 1, range.last});
            }
        }
        ranges_ = std::move(left);
    }
    return !ranges_.empty();
}

}  // namespace kvmiommu::vfio
