// SPDX-License-Identifier: MIT

#include "kvm/proposals/spapr_tce_iommu.h"

#include <utility>

#include "kvm/vm.h"

namespace kvmiommu::kvm {

namespace {

constexpr Source kSet{"KVM: PPC, version 9 of 2013, patch 12: kvmppc_spapr_tce_iommu_set_attr"};
constexpr Source kGet{"KVM: PPC, version 9 of 2013, patch 12: kvmppc_spapr_tce_iommu_get_attr"};
constexpr std::uint32_t kGroup = uapi::KVM_DEV_SPAPR_TCE_IOMMU_ATTR_LINKAGE;

}  // namespace

Result<std::int64_t> SpaprTceIommu::has_attribute(fs::Task&, const Attribute& attribute) {
    return check_group(attribute, kGroup);
}

Result<std::int64_t> SpaprTceIommu::set_attribute(fs::Task& task, const Attribute& attribute) {
    using Linkage = uapi::kvm_create_spapr_tce_iommu_linkage;
    TRY(check_group(attribute, kGroup));
    const auto linked = [](std::uint64_t liobn) {
        return refuse(EBUSY, "the device has a link already, of bus {:x}", kSet, liobn);
    };
    {
        const Lock lock(mutex_);
        if (link_) {
            return linked(linkage_.liobn);
        }
    }
    const Linkage linkage = TRY(mm::UserPtr<Linkage>(attribute.addr).read(task.mm()));
    auto link = TRY(TceLink::create(vm_, task, linkage.liobn, linkage.fd));
    const Lock lock(mutex_);
    if (link_) {
        return linked(linkage_.liobn);
    }
    link_ = std::move(link);
    linkage_ = linkage;
    return 0;
}

Result<std::int64_t> SpaprTceIommu::get_attribute(fs::Task& task, const Attribute& attribute) {
    using Linkage = uapi::kvm_create_spapr_tce_iommu_linkage;
    TRY(check_group(attribute, kGroup));
    Linkage linkage;
    {
        const Lock lock(mutex_);
        if (!link_) {
            return refuse(EFAULT, "the device has no link yet", kGet);
        }
        linkage = linkage_;
    }
    TRY(mm::UserPtr<Linkage>(attribute.addr).write(task.mm(), linkage));
    return 0;
}

}  // namespace kvmiommu::kvm
