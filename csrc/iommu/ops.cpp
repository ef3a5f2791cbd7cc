// SPDX-License-Identifier: MIT

#include "iommu/ops.h"

#include "iommu/semantics/shared_domain.h"

namespace kvmiommu::iommu {

Result<std::unique_ptr<Domain>> Ops::paging_domain_alloc(Device& device, FaultPoints& faults) {
    if (rules_.semantics == Semantics::domain && rules_.after_map == AttachAfterMap::refuse)
        [[likely]] {
        return domain_alloc_paging(device, faults);
    }
    return std::make_unique<SharedDomain>(device, rules_, driver_sizes_);
}

}  // namespace kvmiommu::iommu
