// SPDX-License-Identifier: MIT
//
// A guest's TCE table as a KVM device, a proposal of 2013: both kinds of tables become devices, and
// KVM_CREATE_SPAPR_TCE creates such a device too. It can be mapped like the descriptor of
// KVM_CREATE_SPAPR_TCE.

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
    /// ENXIO there is no such group of attributes
    /// EBUSY the device has a table
    /// EFAULT the window cannot be read
    /// and what set_window() says
    Result<std::int64_t> set_attribute(fs::Task& task, const Attribute& attribute) override
        EXCLUDES(mutex_);
    /// Returns the window that was set.
    /// ENXIO there is no such group of attributes
    /// EINVAL the device has no table yet
    /// EFAULT the window cannot be written
    Result<std::int64_t> get_attribute(fs::Task& task, const Attribute& attribute) override
        EXCLUDES(mutex_);
    /// ENXIO there is no such group of attributes
    Result<std::int64_t> has_attribute(fs::Task& task, const Attribute& attribute) override;
    /// Any length and any offset.
    /// ENODEV the device has no table yet
    Result<fs::FileMapping> mmap(fs::Task& task, const fs::FileMapRequest& request) override
        EXCLUDES(mutex_);

    /// Creates the table.
    /// and what Vm::make_table() says
    /// EBUSY the device has a table
    Result<> set_window(fs::Task& task, const uapi::kvm_create_spapr_tce& window) EXCLUDES(mutex_);

  private:
    Vm& vm_;
    Mutex mutex_{lock_order::kDevice};
    Ref<spapr::GuestTable> table_ GUARDED_BY(mutex_){"kvm-spapr-tce"};
    uapi::kvm_create_spapr_tce window_ GUARDED_BY(mutex_){};
};

}  // namespace kvmiommu::kvm
