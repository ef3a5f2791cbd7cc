// SPDX-License-Identifier: MIT

#include "iommu/semantics/driver_sizes.h"

#include "iommu/semantics/shared_domain.h"

namespace kvmiommu::iommu {

void DriverSizes::set(std::uint64_t sizes) {
    const Lock lock(mutex_);
    sizes_ = sizes;
    for (SharedDomain* const domain : followers_) {
        domain->set_driver_sizes(sizes);
    }
}

std::uint64_t DriverSizes::follow(SharedDomain& domain) {
    const Lock lock(mutex_);
    followers_.insert(&domain);
    return sizes_;
}

void DriverSizes::unfollow(SharedDomain& domain) {
    const Lock lock(mutex_);
    followers_.erase(&domain);
}

}  // namespace kvmiommu::iommu
