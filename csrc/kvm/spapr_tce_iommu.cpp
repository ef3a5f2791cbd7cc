// SPDX-License-Identifier: MIT

#include "kvm/spapr_tce_iommu.h"

#include <algorithm>
#include <utility>

#include "kvm/vm.h"

namespace kvmiommu::kvm {

namespace {

constexpr Source kSet{"KVM: PPC, version 9 of 2013, patch 12: kvmppc_spapr_tce_iommu_set_attr"};
constexpr Source kGet{"KVM: PPC, version 9 of 2013, patch 12: kvmppc_spapr_tce_iommu_get_attr"};
constexpr Source kLinks{"KVM: PPC, after version 9 of 2013: kvmppc_spapr_tce_iommu_link"};

constexpr std::uint32_t kUnlink = ~std::uint32_t{0};

Result<std::int64_t> check_group(const Device::Attribute& attribute) {
    if (attribute.group != uapi::KVM_DEV_SPAPR_TCE_IOMMU_ATTR_LINKAGE) {
        return refuse(ENXIO, "there is no attribute group {}", kSet, attribute.group);
    }
    return 0;
}

}  // namespace

Result<std::int64_t> SpaprTceIommu::has_attribute(fs::Task&, const Attribute& attribute) {
    return check_group(attribute);
}

Result<std::int64_t> SpaprTceIommu::set_attribute(fs::Task& task, const Attribute& attribute) {
    using Linkage = uapi::kvm_create_spapr_tce_iommu_linkage;
    TRY(check_group(attribute));
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
    TRY(check_group(attribute));
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

Result<std::int64_t> SpaprTceIommuLinks::has_attribute(fs::Task&, const Attribute& attribute) {
    return check_group(attribute);
}

Result<std::int64_t> SpaprTceIommuLinks::set_attribute(fs::Task& task, const Attribute& attribute) {
    TRY(check_group(attribute));
    const std::uint32_t fd = TRY(mm::UserPtr<std::uint32_t>(attribute.addr).read(task.mm()));
    if (fd == kUnlink && !vm_.check_bus_free(attribute.attr)) {
        TRY(unlink(attribute.attr));  // what it answers goes without the lock
        return 0;
    }
    auto link = TRY(TceLink::create(vm_, task, attribute.attr, fd));
    const Lock lock(mutex_);
    links_.push_back(std::move(link));
    return 0;
}

Result<std::unique_ptr<TceLink>> SpaprTceIommuLinks::unlink(std::uint64_t liobn) {
    const Lock lock(mutex_);
    const auto found = std::find_if(links_.begin(), links_.end(),
                                    [liobn](const auto& link) { return link->liobn() == liobn; });
    if (found == links_.end()) {
        return refuse(EINVAL, "the table of bus {:x} is no link of this device", kLinks, liobn);
    }
    std::unique_ptr<TceLink> gone = std::move(*found);
    links_.erase(found);
    return gone;
}

}  // namespace kvmiommu::kvm
