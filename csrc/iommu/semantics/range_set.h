// SPDX-License-Identifier: MIT
//
// A set of iovas, as the fewest ranges.

#pragma once

#include <cstdint>
#include <map>
#include <vector>

#include "base/range.h"

namespace kvmiommu::iommu {

class RangeSet {
  public:
    bool empty() const { return lasts_.empty(); }
    bool contains(std::uint64_t iova) const { return find(iova) != lasts_.end(); }
    /// The last iova of the range that contains `iova`, which is in the set.
    std::uint64_t last_from(std::uint64_t iova) const { return find(iova)->second; }
    /// All ranges, in order.
    std::vector<Range> ranges() const;
    /// The number of iovas; 0 also if it is all of them.
    std::uint64_t size() const;

    void add(Range range);
    void add(const RangeSet& other);
    /// What is in this set and not in the other.
    RangeSet without(const RangeSet& other) const;

  private:
    using Lasts = std::map<std::uint64_t, std::uint64_t>;  // by the first iova

    Lasts::const_iterator find(std::uint64_t iova) const;

    Lasts lasts_;
};

}  // namespace kvmiommu::iommu
