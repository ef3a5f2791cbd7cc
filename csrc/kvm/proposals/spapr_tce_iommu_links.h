// SPDX-License-Identifier: MIT
//
// One KVM device for all links of a virtual machine's buses to IOMMU groups: a proposal that
// followed the discussion of one for each link (kvm/proposals/spapr_tce_iommu.h).

#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "base/base.h"
#include "kvm/device.h"
#include "kvm/lock_order.h"
#include "kvm/proposals/tce_link.h"
#include "uapi/kvm_2013.h"

namespace kvmiommu::kvm {

/// All links of a virtual machine, by their buses.
class SpaprTceIommuLinks final : public Device {
  public:
    /// `vm` outlives it.
    explicit SpaprTceIommuLinks(Vm& vm) : vm_(vm) {}

    const char* name() const override { return "kvm-spapr-tce-iommu"; }
    bool sets() const override { return true; }
    bool has() const override { return true; }
    /// The attribute is a liobn. At its address is the descriptor of a group, or -1 to unlink.
    /// ENXIO there is no such group of attributes
    /// EFAULT the descriptor cannot be read
    /// EINVAL unlink: the table of the bus is not a link of this device
    /// and what TceLink::create() says, also for an unlink of a bus without a table
    Result<std::int64_t> set_attribute(fs::Task& task, const Attribute& attribute) override
        EXCLUDES(mutex_);
    /// Ignores the attribute and the address.
    /// ENXIO there is no such group of attributes
    Result<std::int64_t> has_attribute(fs::Task& task, const Attribute& attribute) override;

  private:
    Result<std::unique_ptr<TceLink>> unlink(std::uint64_t liobn) EXCLUDES(mutex_);

    Vm& vm_;
    Mutex mutex_{lock_order::kDevice};
    std::vector<std::unique_ptr<TceLink>> links_ GUARDED_BY(mutex_);
};

}  // namespace kvmiommu::kvm
