// SPDX-License-Identifier: MIT
//
// The KVM device that links a guest's bus to an IOMMU group, one device for each link: a proposal
// ("KVM: PPC: Add support for IOMMU in-kernel handling", version 9 of 2013).

#pragma once

#include <memory>

#include "base/base.h"
#include "kvm/device.h"
#include "kvm/lock_order.h"
#include "kvm/proposals/tce_link.h"
#include "uapi/kvm_2013.h"

namespace kvmiommu::kvm {

/// One link, which is set once and removed with the device.
class SpaprTceIommu final : public Device {
  public:
    /// `vm` outlives it.
    explicit SpaprTceIommu(Vm& vm) : vm_(vm) {}

    const char* name() const override { return "kvm-spapr-tce-iommu"; }
    bool sets() const override { return true; }
    bool gets() const override { return true; }
    bool has() const override { return true; }
    /// ENXIO there is no such group of attributes
    /// EBUSY the device has a link
    /// EFAULT the link cannot be read
    /// and what TceLink::create() says
    Result<std::int64_t> set_attribute(fs::Task& task, const Attribute& attribute) override
        EXCLUDES(mutex_);
    /// Returns the link that was set.
    /// ENXIO there is no such group of attributes
    /// EFAULT the device has no link yet
    /// EFAULT the link cannot be written
    Result<std::int64_t> get_attribute(fs::Task& task, const Attribute& attribute) override
        EXCLUDES(mutex_);
    /// Ignores the attribute and the address.
    /// ENXIO there is no such group of attributes
    Result<std::int64_t> has_attribute(fs::Task& task, const Attribute& attribute) override;

  private:
    Vm& vm_;
    Mutex mutex_{lock_order::kDevice};
    std::unique_ptr<TceLink> link_ GUARDED_BY(mutex_);
    uapi::kvm_create_spapr_tce_iommu_linkage linkage_ GUARDED_BY(mutex_){};
};

}  // namespace kvmiommu::kvm
