// SPDX-License-Identifier: MIT

#include "iommu/ops.h"

#include "iommu/semantics/shared_domain.h"

namespace kvmiommu::iommu {

namespace {
constexpr Source kHwInfo{"drivers/iommu/iommufd/device.c: iommufd_get_hw_info"};
constexpr Source kAllocUser{"drivers/iommu/iommufd/hw_pagetable.c: iommufd_hwpt_paging_alloc"};
}  // namespace

Result<HwInfo> Ops::hw_info(Device&, std::uint32_t type) {
    if (type != uapi::IOMMU_HW_INFO_TYPE_NONE) {
        return refuse(EOPNOTSUPP, "the driver has no information, of type {} or any other", kHwInfo,
                      type);
    }
    return HwInfo{};
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
    TRY(check_user_request(flags, 0, parent, user_data));
    return paging_domain_alloc(device, faults);
}

Result<> Ops::check_user_request(std::uint32_t flags, std::uint32_t known, const Domain* parent,
                                 const UserData* user_data) {
    if ((flags & ~known) != 0 || parent != nullptr || user_data != nullptr) {
        return refuse(EOPNOTSUPP,
                      "flags {:x} (a parent: {}, data: {}): the driver has a table of its own with "
                      "flags {:x}",
                      kAllocUser, flags, parent != nullptr, user_data != nullptr, known);
    }
    return {};
}

}  // namespace kvmiommu::iommu
