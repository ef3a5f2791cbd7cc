// SPDX-License-Identifier: MIT

#include "iommu/group.h"

#include <algorithm>
#include <cassert>

#include "iommu/ops.h"

namespace kvmiommu::iommu {

namespace {
constexpr Source kClaim{"drivers/iommu/iommu.c: __iommu_take_dma_ownership"};
constexpr Source kUseDefault{"drivers/iommu/iommu.c: iommu_device_use_default_domain"};
constexpr Source kBlock{"drivers/iommu/iommu.c: __iommu_device_set_domain"};
constexpr Source kAttach{"drivers/iommu/iommu.c: __iommu_attach_group"};
constexpr Source kReplace{"drivers/iommu/iommu.c: iommu_group_replace_domain"};
}  // namespace

void Group::add_device(Device& device) {
    const Lock lock(mutex_);
    assert(devices_.empty() || &devices_.front()->ops() == &device.ops());
    devices_.push_back(&device);
    device.group_ = this;
    ops().join(*this, device);
    domain_ = &ops().default_domain_of(*this);
}

std::vector<ReservedRegion> Group::reserved_regions() const {
    std::vector<ReservedRegion> regions;
    std::vector<const IommuDevice*> seen;
    for (const Device* const device : devices_) {
        const auto& own = device->own_reserved_regions();
        regions.insert(regions.end(), own.begin(), own.end());
        const IommuDevice* const instance = &device->iommu_device();
        if (std::find(seen.begin(), seen.end(), instance) == seen.end()) {
            seen.push_back(instance);
            regions.insert(regions.end(), instance->reserved.begin(), instance->reserved.end());
        }
    }
    return regions;
}

bool Group::has_isolated_msi() const {
    return std::all_of(devices_.begin(), devices_.end(),
                       [](const Device* device) { return device->iommu_device().isolated_msi; });
}

Result<> Group::claim_dma_owner(const void* owner, Claim claim) {
    const Lock lock(mutex_);
    if (owner_cnt_ != 0) {
        if (claim == Claim::shared && owner_ == owner) {
            ++owner_cnt_;
            return {};
        }
        return refuse(EPERM,
                      "the DMA of group {} is in use, by an owner ({}) or by {} of the kernel's "
                      "drivers",
                      kClaim, id_, owner_ != nullptr, owner_cnt_);
    }
    if (domain_ != &ops().default_domain_of(*this)) {
        return refuse(EBUSY, "group {} is not in its default domain", kClaim, id_);
    }
    FaultPoints none;  // nothing is allocated
    TRY(set_domain(ops().blocked_domain_of(*this), none));
    owner_ = owner;
    owner_cnt_ = 1;
    return {};
}

void Group::release_dma_owner() {
    const Lock lock(mutex_);
    assert(owner_ != nullptr && owner_cnt_ != 0);
    if (--owner_cnt_ == 0) {
        owner_ = nullptr;
        set_core_domain();
    }
}

bool Group::dma_owner_claimed() const {
    const Lock lock(mutex_);
    return owner_cnt_ != 0;
}

Result<> Group::use_default_domain() {
    const Lock lock(mutex_);
    if (owner_ != nullptr || domain_ != &ops().default_domain_of(*this)) {
        return refuse(EBUSY, "the DMA of group {} belongs to somebody else", kUseDefault, id_);
    }
    ++owner_cnt_;
    return {};
}

void Group::unuse_default_domain() {
    const Lock lock(mutex_);
    assert(owner_ == nullptr && owner_cnt_ != 0);
    --owner_cnt_;
}

Result<> Group::attach(Domain& domain, FaultPoints& faults) {
    const Lock lock(mutex_);
    if (domain_ != &ops().default_domain_of(*this) && domain_ != &ops().blocked_domain_of(*this)) {
        return refuse(EBUSY, "group {} is attached to another domain", kAttach, id_);
    }
    if (!fits(domain)) {
        return refuse(EINVAL, "the domain is of another IOMMU driver than group {}", kAttach, id_);
    }
    return set_domain(domain, faults);
}

Result<> Group::replace(Domain& domain, FaultPoints& faults) {
    const Lock lock(mutex_);
    if (!fits(domain)) {
        return refuse(EINVAL, "the domain is of another IOMMU driver than group {}", kReplace, id_);
    }
    return set_domain(domain, faults);
}

bool Group::fits(const Domain& domain) const {
    return &domain.ops() == &ops() || domain.spans_drivers();
}

void Group::detach([[maybe_unused]] Domain& domain) {
    const Lock lock(mutex_);
    assert(domain_ == &domain);
    set_core_domain();
}

Domain* Group::domain() const {
    const Lock lock(mutex_);
    return domain_;
}

Result<> Group::attach_device(Domain& domain, Device& device, FaultPoints& faults) {
    if (&domain == &ops().blocked_domain_of(*this) && device.requires_direct()) {
        return refuse(EINVAL,
                      "the firmware needs a region of a device of group {} identity mapped, so its "
                      "DMA cannot be blocked",
                      kBlock, id_);
    }
    return domain.attach_device(device, faults);
}

Result<> Group::set_domain(Domain& domain, FaultPoints& faults) {
    if (domain_ == &domain) {
        return {};
    }
    for (auto device = devices_.begin(); device != devices_.end(); ++device) {
        const auto attached = attach_device(domain, **device, faults);
        if (attached) {
            continue;
        }
        // The domain that they were in still has them, and neither refuses them nor allocates.
        FaultPoints none;
        for (auto back = devices_.begin(); back != device; ++back) {
            domain.detach_device(**back);
            [[maybe_unused]] const auto returned = domain_->attach_device(**back, none);
            assert(returned);
        }
        return std::unexpected(attached.error());
    }
    // IOTLBs know entries by their domain, not by the device.
    if (Iotlb* const iotlb = domain_->iotlb()) {
        iotlb->invalidate_all();
    }
    for (Device* const device : devices_) {
        domain_->detach_device(*device);
    }
    IotlbControl* const control = ops().iotlb_control();
    if (control != nullptr && domain.paging()) {
        domain.keep_translations(*control);
    }
    domain_ = &domain;
    return {};
}

void Group::set_core_domain() {
    Domain& core =
        owner_ != nullptr ? ops().blocked_domain_of(*this) : ops().default_domain_of(*this);
    FaultPoints none;  // nothing is allocated
    [[maybe_unused]] const auto set = set_domain(core, none);
    assert(set);
}

}  // namespace kvmiommu::iommu
