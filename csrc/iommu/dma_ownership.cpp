// SPDX-License-Identifier: MIT

#include "iommu/dma_ownership.h"

#include "iommu/device.h"
#include "iommu/group.h"

namespace kvmiommu::iommu {

namespace {
constexpr Source kGroup{"drivers/iommu/iommu.c: iommu_group_claim_dma_owner"};
constexpr Source kDevice{"drivers/iommu/iommu.c: iommu_device_claim_dma_owner"};
}  // namespace

Result<DmaOwnership> DmaOwnership::of(Group& group, const void* owner) {
    if (owner == nullptr) {
        return refuse(EINVAL, "nobody claims the DMA of group {}", kGroup, group.id());
    }
    TRY(group.claim_dma_owner(owner, Group::Claim::alone));
    return DmaOwnership(group);
}

Result<DmaOwnership> DmaOwnership::of(Device& device, const void* owner) {
    if (owner == nullptr) {
        return refuse(EINVAL, "nobody claims the DMA of a device", kDevice);
    }
    Group* const group = device.group();
    if (group == nullptr) {
        return refuse(ENODEV, "the device is in no group", kDevice);
    }
    TRY(group->claim_dma_owner(owner, Group::Claim::shared));
    return DmaOwnership(*group);
}

void DmaOwnership::release() {
    if (Group* const group = std::exchange(group_, nullptr)) {
        group->release_dma_owner();
    }
}

}  // namespace kvmiommu::iommu
