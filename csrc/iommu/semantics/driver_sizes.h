// SPDX-License-Identifier: MIT
//
// The page sizes that all IOMMUs of one driver have in common, where they were until Linux 4.6: in
// one place for the driver (include/linux/iommu.h: iommu_ops.pgsize_bitmap). Domains follow it: an
// IOMMU that comes late takes sizes from all of them.

#pragma once

#include <cstdint>
#include <set>

#include "base/base.h"
#include "iommu/lock_order.h"

namespace kvmiommu::iommu {

class SharedDomain;

class DriverSizes {
  public:
    DriverSizes() = default;
    DriverSizes(const DriverSizes&) = delete;
    DriverSizes& operator=(const DriverSizes&) = delete;

    void set(std::uint64_t sizes) EXCLUDES(mutex_);
    /// Sizes that are set from now on are set in the domain too. Returns those of now.
    std::uint64_t follow(SharedDomain& domain) EXCLUDES(mutex_);
    void unfollow(SharedDomain& domain) EXCLUDES(mutex_);

  private:
    Mutex mutex_{lock_order::kDriverSizes};
    std::uint64_t sizes_ GUARDED_BY(mutex_) = 0;
    std::set<SharedDomain*> followers_ GUARDED_BY(mutex_);
};

}  // namespace kvmiommu::iommu
