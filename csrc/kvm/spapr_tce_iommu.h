// SPDX-License-Identifier: MIT
//
// The KVM devices that were to link a guest's bus to an IOMMU group: one for each link ("KVM: PPC:
// Add support for IOMMU in-kernel handling", version 9 of 2013), and one for all of them, which
// came after the discussion of it.

#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "base/base.h"
#include "kvm/device.h"
#include "kvm/tce_link.h"
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
    Mutex mutex_;
    std::unique_ptr<TceLink> link_ GUARDED_BY(mutex_);
    uapi::kvm_create_spapr_tce_iommu_linkage linkage_ GUARDED_BY(mutex_){};
};

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
    Mutex mutex_;
    std::vector<std::unique_ptr<TceLink>> links_ GUARDED_BY(mutex_);
};

}  // namespace kvmiommu::kvm
