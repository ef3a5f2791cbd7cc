// SPDX-License-Identifier: MIT
//
// One KVM device for all links of a virtual machine's buses to IOMMU groups, which came after the
// discussion of one for each (kvm/proposals/spapr_tce_iommu.h).

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
    /// The attribute is a liobn, its address leads to the descriptor of a group, or to -1 to
    /// unlink. ENXIO no such group of attributes; EFAULT; EINVAL unlinks a bus whose table is not a
    /// link; then as TceLink::create().
    Result<std::int64_t> set_attribute(fs::Task& task, const Attribute& attribute) override
        EXCLUDES(mutex_);
    /// 0 or ENXIO; neither attribute nor address is looked at.
    Result<std::int64_t> has_attribute(fs::Task& task, const Attribute& attribute) override;

  private:
    Result<std::unique_ptr<TceLink>> unlink(std::uint64_t liobn) EXCLUDES(mutex_);

    Vm& vm_;
    Mutex mutex_{lock_order::kDevice};
    std::vector<std::unique_ptr<TceLink>> links_ GUARDED_BY(mutex_);
};

}  // namespace kvmiommu::kvm
