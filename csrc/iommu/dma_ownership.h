// SPDX-License-Identifier: MIT
//
// Somebody owns the DMA of a group, until this object is destroyed (drivers/iommu/iommu.c:
// iommu_group_claim_dma_owner, iommu_device_claim_dma_owner and what releases them).

#pragma once

#include <utility>

#include "base/base.h"

namespace kvmiommu::iommu {

class Device;
class Group;

class [[nodiscard]] DmaOwnership {
  public:
    /// Owns nothing.
    DmaOwnership() = default;
    DmaOwnership(DmaOwnership&& other) noexcept : group_(std::exchange(other.group_, nullptr)) {}
    DmaOwnership& operator=(DmaOwnership&& other) noexcept {
        std::swap(group_, other.group_);
        return *this;
    }
    ~DmaOwnership() { release(); }

    /// Claims the DMA of all devices of a group for `owner`, any address that is the owner's own:
    /// they are blocked until the owner attaches a domain. (iommu_group_claim_dma_owner)
    /// EINVAL no owner
    /// EPERM it has an owner, be it this one, or a kernel driver uses a device
    /// EBUSY another domain than the default one is attached
    /// EINVAL a device has a reserved region of type "direct", so its DMA cannot be blocked
    static Result<DmaOwnership> of(Group& group, const void* owner);
    /// Claims the DMA of a device, and with it that of its group, of which devices may be claimed
    /// one by one for the same owner. (iommu_device_claim_dma_owner)
    /// EINVAL no owner
    /// ENODEV the device is in no group
    /// EPERM the group has another owner, or a kernel driver uses a device of it
    /// EBUSY another domain than the default one is attached
    /// EINVAL a device of the group has a reserved region of type "direct"
    static Result<DmaOwnership> of(Device& device, const void* owner);

    explicit operator bool() const { return group_ != nullptr; }
    /// Releases it now. With the last claim of its group the devices are in their default domain
    /// again; no domain of the owner's is attached by then.
    void release();

  private:
    explicit DmaOwnership(Group& group) : group_(&group) {}

    Group* group_ = nullptr;
};

}  // namespace kvmiommu::iommu
