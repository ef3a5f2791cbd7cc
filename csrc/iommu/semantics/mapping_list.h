// SPDX-License-Identifier: MIT
//
// What is mapped in a domain, whatever its tables are made of: the list from which a table can be
// made at any time, as VFIO and iommufd keep one a level higher.

#pragma once

#include <cstdint>
#include <map>
#include <optional>

#include "base/base.h"
#include "iommu/semantics/range_set.h"
#include "mm/physical_memory.h"

namespace kvmiommu::iommu {

using mm::PhysAddr;

struct Mapping {
    std::uint64_t size;
    PhysAddr address;
    std::uint32_t protection;
    /// The page sizes that it was divided into, or that the domain had then.
    std::uint64_t page_sizes;
};

class MappingList {
  public:
    using Mappings = std::map<std::uint64_t, Mapping>;  // by iova; they do not overlap

    const Mappings& all() const { return mappings_; }
    /// The last iova that is mapped.
    std::optional<std::uint64_t> last() const;
    /// The part of a set that is mapped.
    RangeSet mapped(const RangeSet& set) const;

    void add(std::uint64_t iova, const Mapping& mapping) { mappings_[iova] = mapping; }
    /// Takes a set out. Of mappings that it covers a part of the rest stays.
    void remove(const RangeSet& set);
    /// From now on all of it is divided into pages of these sizes.
    void set_page_sizes(std::uint64_t page_sizes);

  private:
    void remove(Range range);
    // The first mapping that ends at or behind an iova.
    Mappings::const_iterator from(std::uint64_t iova) const;

    Mappings mappings_;
};

}  // namespace kvmiommu::iommu
