// SPDX-License-Identifier: MIT
//
// A driver for one kind of IOMMU (include/linux/iommu.h: iommu_ops). One object a kind and a
// machine: the core compares Ops, not Instances, when it asks whether a device fits a domain.

#pragma once

#include <memory>

#include "base/base.h"
#include "iommu/device.h"
#include "iommu/domain.h"
#include "iommu/iotlb.h"
#include "iommu/semantics/semantics.h"

namespace kvmiommu::iommu {

class Group;

class Ops {
  public:
    virtual ~Ops() = default;
    Ops(const Ops&) = delete;
    Ops& operator=(const Ops&) = delete;

    /// "intel", "amd": the name in a machine's description.
    virtual const char* name() const = 0;
    /// An empty page table that suits `device`; it is not attached. ENOMEM.
    virtual Result<std::unique_ptr<Domain>> domain_alloc_paging(Device& device,
                                                                FaultPoints& faults) = 0;
    /// Where a group's devices are before anybody asks for something else.
    virtual Domain& default_domain() = 0;
    /// Where no DMA gets through.
    virtual Domain& blocked_domain() = 0;

    // The same for one group, where the platform keeps windows for each.
    virtual Domain& default_domain_of(const Group&) { return default_domain(); }
    virtual Domain& blocked_domain_of(const Group&) { return blocked_domain(); }
    /// A device joins a group; after its other devices.
    virtual void join(Group&, Device&) {}

    /// A domain for `device` under the semantics of the machine: what everybody who wants one calls
    /// (include/linux/iommu.h: iommu_paging_domain_alloc). As domain_alloc_paging().
    Result<std::unique_ptr<Domain>> paging_domain_alloc(Device& device, FaultPoints& faults);
    /// `driver_sizes`: see SharedDomain.
    void set_rules(Rules rules, std::uint64_t driver_sizes) {
        rules_ = rules;
        driver_sizes_ = driver_sizes;
    }

    /// What the IOTLBs of the machine have in common; null: its IOMMUs keep nothing.
    IotlbControl* iotlb_control() const { return iotlb_control_; }
    void set_iotlb_control(IotlbControl& control) { iotlb_control_ = &control; }

  protected:
    Ops() = default;

  private:
    IotlbControl* iotlb_control_ = nullptr;
    Rules rules_{};
    std::uint64_t driver_sizes_ = 0;
};

}  // namespace kvmiommu::iommu
