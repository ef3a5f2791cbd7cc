// SPDX-License-Identifier: MIT
//
// A driver for one kind of IOMMU (include/linux/iommu.h: iommu_ops). One object a kind and a
// machine: the core compares Ops, not IommuDevices, when it asks whether a device fits a domain.

#pragma once

#include <cstdint>
#include <memory>

#include "base/base.h"
#include "iommu/capability.h"
#include "iommu/device.h"
#include "iommu/domain.h"
#include "iommu/hw_info.h"
#include "iommu/iotlb.h"
#include "iommu/semantics/driver_sizes.h"
#include "iommu/semantics/semantics.h"

namespace kvmiommu::iommu {

class Group;
struct UserData;

class Ops {
  public:
    virtual ~Ops() = default;
    Ops(const Ops&) = delete;
    Ops& operator=(const Ops&) = delete;

    /// "intel", "amd": the name in a machine's description.
    virtual const char* name() const = 0;

    /// What the IOMMU of a device can do. (device_iommu_capable)
    virtual bool capable(const Device&, Capability) const { return false; }
    /// What the IOMMU of a device is, in a structure of the driver's own. `type` is what the caller
    /// wants, 0 whatever there is.
    /// EOPNOTSUPP the driver has no information of that type
    virtual Result<HwInfo> hw_info(Device& device, std::uint32_t type);

    /// An empty page table that suits `device`, which is not attached.
    /// EOPNOTSUPP the driver has no page tables for others
    /// ENOMEM
    virtual Result<std::unique_ptr<Domain>> domain_alloc_paging(Device& device,
                                                                FaultPoints& faults) = 0;
    /// A domain as user space wants it: `flags` are IOMMU_HWPT_ALLOC_*; a table within `parent`, or
    /// null; what the driver alone understands, or null. A driver that does not override it has
    /// tables that track writes, if it is capable of that, and nothing else.
    /// EOPNOTSUPP the driver or the IOMMU of the device cannot do it
    /// ENOMEM
    virtual Result<std::unique_ptr<Domain>> domain_alloc_user(Device& device, std::uint32_t flags,
                                                              Domain* parent,
                                                              const UserData* user_data,
                                                              FaultPoints& faults);

    /// Makes a domain one that a guest's tables can nest in (iommu_enable_nesting, until 7.2).
    /// EINVAL the driver does not nest that way
    /// and what the driver says
    virtual Result<> enable_nesting(Domain& domain);

    /// Where a group's devices are before anybody asks for something else.
    virtual Domain& default_domain() = 0;
    /// Where no DMA gets through.
    virtual Domain& blocked_domain() = 0;

    // The same for one group, where the platform keeps windows for each.
    virtual Domain& default_domain_of(const Group&) { return default_domain(); }
    virtual Domain& blocked_domain_of(const Group&) { return blocked_domain(); }
    /// A device has joined a group, behind its other devices.
    virtual void join(Group&, Device&) {}

    /// A domain for `device` under the semantics of the machine: what the users of domains call
    /// (iommu_paging_domain_alloc).
    /// As domain_alloc_paging()
    Result<std::unique_ptr<Domain>> paging_domain_alloc(Device& device, FaultPoints& faults);
    /// `driver_sizes` are the page sizes that all IOMMUs of the driver have in common. Called again
    /// when an IOMMU comes later.
    void set_rules(Rules rules, std::uint64_t driver_sizes) {
        rules_ = rules;
        driver_sizes_->set(driver_sizes);
    }

    /// What the IOTLBs of the machine share; null: its IOMMUs keep no translations.
    IotlbControl* iotlb_control() const { return iotlb_control_; }
    void set_iotlb_control(IotlbControl& control) { iotlb_control_ = &control; }

  protected:
    Ops() = default;

    /// As domain_alloc_paging(), for a domain that tracks writes. Called for a device whose IOMMU
    /// is capable of it.
    /// EOPNOTSUPP not in the tables that the IOMMU uses
    /// ENOMEM
    virtual Result<std::unique_ptr<Domain>> domain_alloc_tracking(Device& device,
                                                                  FaultPoints& faults);

  private:
    IotlbControl* iotlb_control_ = nullptr;
    Rules rules_{};
    // Domains may outlive the driver.
    const std::shared_ptr<DriverSizes> driver_sizes_ = std::make_shared<DriverSizes>();
};

}  // namespace kvmiommu::iommu
