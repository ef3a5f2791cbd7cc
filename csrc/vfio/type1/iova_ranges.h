// SPDX-License-Identifier: MIT
//
// The iovas that a container can map: what every aperture has and no reserved region takes
// (drivers/vfio/vfio_iommu_type1.c: vfio_iova).

#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "base/range.h"
#include "iommu/reserved_region.h"

namespace kvmiommu::vfio {

/// Ranges in order, disjoint. Without any, nothing has said what can be mapped: anything goes.
class IovaRanges {
  public:
    const std::vector<Range>& ranges() const { return ranges_; }
    bool empty() const { return ranges_.empty(); }

    /// Does `range` lie within one of the ranges?
    bool allows(Range range) const;
    /// Takes away what lies outside of `aperture`; the first aperture is all there is.
    void restrict_to(Range aperture);
    /// Takes away reserved regions but for relaxable ones. False: nothing is left.
    bool exclude(const std::vector<iommu::ReservedRegion>& regions);

  private:
    std::vector<Range> ranges_;
};

}  // namespace kvmiommu::vfio
