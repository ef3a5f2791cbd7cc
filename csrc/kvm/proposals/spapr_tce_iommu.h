// SPDX-License-Identifier: MIT
//
// The KVM device that was to link a guest's bus to an IOMMU group, one for each link ("KVM: PPC:
// Add support for IOMMU in-kernel handling", version 9 of 2013).

#pragma once

#include <memory>

#include "base/base.h"
#include "kvm/device.h"
#include "kvm/lock_order.h"
#include "kvm/proposals/tce_link.h"
#include "uapi/kvm_2013.h"

namespace kvmiommu::kvm {

/// One link, which is set once and goes with the device.
class SpaprTceIommu final : public Device {
  public:
    /// `vm` outlives it.
    explicit SpaprTceIommu(Vm& vm) : vm_(vm) {}

    const char* name() const override { return "kvm-spapr-tce-iommu"; }
    bool sets() const override { return true; }
    bool gets() const override { return true; }
    bool has() const override { return true; }
    /// ENXIO no such group of attributes; EBUSY there is a link; EFAULT; then as
    /// TceLink::create().
    Result<std::int64_t> set_attribute(fs::Task& task, const Attribute& attribute) override
        EXCLUDES(mutex_);
    /// What was set. ENXIO; EFAULT nothing was, or the address is bad.
    Result<std::int64_t> get_attribute(fs::Task& task, const Attribute& attribute) override
        EXCLUDES(mutex_);
    /// 0 or ENXIO; neither attribute nor address is looked at.
    Result<std::int64_t> has_attribute(fs::Task& task, const Attribute& attribute) override;

  private:
    Vm& vm_;
    Mutex mutex_{lock_order::kDevice};
    std::unique_ptr<TceLink> link_ GUARDED_BY(mutex_);
    uapi::kvm_create_spapr_tce_iommu_linkage linkage_ GUARDED_BY(mutex_){};
};

}  // namespace kvmiommu::kvm
