// SPDX-License-Identifier: MIT
//
// The iovas that a container can map: in every aperture and in no reserved region
// (drivers/vfio/vfio_iommu_type1.c: vfio_iova).

#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "base/range.h"
#include "iommu/reserved_region.h"

namespace kvmiommu::vfio {

/// Ranges in order, disjoint. Without any there is no restriction.
class IovaRanges {
  public:
    const std::vector<Range>& ranges() const { return ranges_; }
    bool empty() const { return ranges_.empty(); }

    /// Does `range` lie within one of the ranges?
    bool allows(Range range) const;
    /// Removes what is outside of `aperture`. Without ranges, `aperture` becomes the only one.
    void restrict_to(Range aperture);
    /// Removes reserved regions except relaxable ones. False: nothing is left.
    bool exclude(const std::vector<iommu::ReservedRegion>& regions);

  private:
    std::vector<Range> ranges_;
};

}  // namespace kvmiommu::vfio
