// SPDX-License-Identifier: MIT
//
// The pseudo device that tells KVM which VFIO files serve a virtual machine (virt/kvm/vfio.c).

#pragma once

#include <cstdint>
#include <vector>

#include "kvm/device.h"
#include "kvm/lock_order.h"
#include "kvm/vfio_symbols.h"

namespace kvmiommu::kvm {

class VfioDevice final : public Device {
  public:
    /// `vm` outlives it.
    explicit VfioDevice(Vm& vm);
    ~VfioDevice() override;

    const char* name() const override { return "kvm-vfio"; }
    bool sets() const override { return true; }
    bool has() const override { return true; }
    /// ENXIO no such attribute. ADD and DEL, with a descriptor at the attribute's address: EFAULT,
    /// EBADF; ADD: EINVAL not a VFIO file, EEXIST; DEL: ENOENT. SET_SPAPR_TCE, on POWER: EFAULT,
    /// EBADF, ENOENT a group that was never added, EIO a device; then as Vm::attach_tables().
    Result<std::int64_t> set_attribute(fs::Task& task, const Attribute& attribute) override
        EXCLUDES(mutex_);
    /// 0 or ENXIO; the address is not looked at.
    Result<std::int64_t> has_attribute(fs::Task& task, const Attribute& attribute) override;

  private:
    Result<> add(fs::Task& task, int fd) EXCLUDES(mutex_);
    Result<> remove(fs::Task& task, int fd) EXCLUDES(mutex_);
    Result<> set_spapr_tce(fs::Task& task, std::uint64_t address) EXCLUDES(mutex_);
    struct Served {
        Ref<fs::File> file;
        iommu::Group* group = nullptr;  // once its tables stand behind the guest's
    };
    std::vector<Served>::iterator find(const fs::File& file) REQUIRES(mutex_);
    // What letting one file go does, but for the list.
    void let_go(const Served& served) REQUIRES(mutex_);
    void update_coherency() REQUIRES(mutex_);

    Vm& vm_;
    Mutex mutex_{lock_order::kDevice};
    std::vector<Served> files_ GUARDED_BY(mutex_);
    bool noncoherent_ GUARDED_BY(mutex_) = false;
};

}  // namespace kvmiommu::kvm
