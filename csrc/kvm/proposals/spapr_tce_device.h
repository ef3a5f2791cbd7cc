// SPDX-License-Identifier: MIT
//
// A guest's TCE table as a KVM device, which was an idea of 2013: both kinds of table were to be
// devices, one descriptor each, and the old request to make one as well. It can be mapped from
// offset 0 on, as the descriptor of the old request can.

#pragma once

#include "base/base.h"
#include "kvm/device.h"
#include "kvm/lock_order.h"
#include "spapr/guest_table.h"
#include "uapi/kvm_2013.h"

namespace kvmiommu::kvm {

class SpaprTceDevice final : public Device {
  public:
    /// `vm` outlives it.
    explicit SpaprTceDevice(Vm& vm) : vm_(vm) {}

    const char* name() const override { return "kvm-spapr-tce"; }
    bool sets() const override { return true; }
    bool gets() const override { return true; }
    bool has() const override { return true; }
    /// ENXIO no such group of attributes; EBUSY there is a table; EFAULT; then as
    /// Vm::make_table().
    Result<std::int64_t> set_attribute(fs::Task& task, const Attribute& attribute) override
        EXCLUDES(mutex_);
    /// What was set. ENXIO; EINVAL nothing was; EFAULT.
    Result<std::int64_t> get_attribute(fs::Task& task, const Attribute& attribute) override
        EXCLUDES(mutex_);
    Result<std::int64_t> has_attribute(fs::Task& task, const Attribute& attribute) override;
    /// Any length and any offset. ENODEV: there is no table yet.
    Result<fs::FileMapping> mmap(fs::Task& task, const fs::FileMapRequest& request) override
        EXCLUDES(mutex_);

    /// Makes the table. EBUSY there is one; then as Vm::make_table().
    Result<> set_window(fs::Task& task, const uapi::kvm_create_spapr_tce& window) EXCLUDES(mutex_);

  private:
    Vm& vm_;
    Mutex mutex_{lock_order::kDevice};
    Ref<spapr::GuestTable> table_ GUARDED_BY(mutex_){"kvm-spapr-tce"};
    uapi::kvm_create_spapr_tce window_ GUARDED_BY(mutex_){};
};

}  // namespace kvmiommu::kvm
