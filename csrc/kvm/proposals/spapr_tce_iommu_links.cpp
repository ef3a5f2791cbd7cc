// SPDX-License-Identifier: MIT

#include "kvm/proposals/spapr_tce_iommu_links.h"

#include <algorithm>
#include <utility>

#include "kvm/vm.h"

namespace kvmiommu::kvm {

namespace {

constexpr Source kLinks{"KVM: PPC, after version 9 of 2013: kvmppc_spapr_tce_iommu_link"};

constexpr std::uint32_t kGroup = uapi::KVM_DEV_SPAPR_TCE_IOMMU_ATTR_LINKAGE;
constexpr std::uint32_t kUnlink = ~std::uint32_t{0};

}  // namespace

Result<std::int64_t> SpaprTceIommuLinks::has_attribute(fs::Task&, const Attribute& attribute) {
    return check_group(attribute, kGroup);
}

Result<std::int64_t> SpaprTceIommuLinks::set_attribute(fs::Task& task, const Attribute& attribute) {
    TRY(check_group(attribute, kGroup));
    const std::uint32_t fd = TRY(mm::UserPtr<std::uint32_t>(attribute.addr).read(task.mm()));
    if (fd == kUnlink && !vm_.check_bus_free(attribute.attr)) {
        TRY(unlink(attribute.attr));  // the link is destroyed without the lock
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
