// SPDX-License-Identifier: MIT

#include "iommu/device.h"

#include <algorithm>

namespace kvmiommu::iommu {

bool Device::requires_direct() const {
    const auto direct = [](const ReservedRegion& region) {
        return region.type == ReservedType::direct;
    };
    return std::any_of(reserved_.begin(), reserved_.end(), direct) ||
           std::any_of(instance_.reserved.begin(), instance_.reserved.end(), direct);
}

}  // namespace kvmiommu::iommu
