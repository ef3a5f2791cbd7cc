// SPDX-License-Identifier: MIT

#include "iommu/ops.h"

#include "iommu/semantics/shared_domain.h"

namespace kvmiommu::iommu {

namespace {
constexpr Source kHwInfo{"drivers/iommu/iommufd/device.c: iommufd_get_hw_info"};
constexpr Source kNesting{"drivers/iommu/iommu.c: iommu_enable_nesting"};
constexpr Source kAllocUser{"drivers/iommu/iommufd/hw_pagetable.c: iommufd_hwpt_paging_alloc"};
}  // namespace

Result<HwInfo> Ops::hw_info(Device&, std::uint32_t type) {
    if (type != uapi::IOMMU_HW_INFO_TYPE_NONE) {
        return refuse(EOPNOTSUPP, "the driver has no information, of type {} or any other", kHwInfo,
                      type);
    }
    return HwInfo{};
}

Result<> Ops::enable_nesting(Domain&) {
    return refuse(EINVAL, "the driver has no domains for guests' tables to nest in", kNesting);
}

Result<std::unique_ptr<Domain>> Ops::paging_domain_alloc(Device& device, FaultPoints& faults) {
    if (rules_.semantics == Semantics::domain && rules_.after_map == AttachAfterMap::refuse)
        [[likely]] {
        return domain_alloc_paging(device, faults);
    }
    return std::make_unique<SharedDomain>(device, rules_, driver_sizes_);
}

Result<std::unique_ptr<Domain>> Ops::domain_alloc_user(Device& device, std::uint32_t flags,
                                                       Domain* parent, const UserData* user_data,
                                                       FaultPoints& faults) {
    const bool tracks = flags == uapi::IOMMU_HWPT_ALLOC_DIRTY_TRACKING;
    if ((flags != 0 && !tracks) || parent != nullptr || user_data != nullptr) {
        return refuse(EOPNOTSUPP,
                      "flags {:x} (a parent: {}, data: {}): the driver has plain tables, and such "
                      "as track writes",
                      kAllocUser, flags, parent != nullptr, user_data != nullptr);
    }
    if (!tracks) {
        return paging_domain_alloc(device, faults);
    }
    if (!capable(device, Capability::dirty_tracking)) {
        return refuse(EOPNOTSUPP, "the device's IOMMU cannot track writes", kAllocUser);
    }
    return domain_alloc_tracking(device, faults);
}

Result<std::unique_ptr<Domain>> Ops::domain_alloc_tracking(Device&, FaultPoints&) {
    return refuse(EOPNOTSUPP, "the driver has no tables that track writes", kAllocUser);
}

}  // namespace kvmiommu::iommu
