// SPDX-License-Identifier: MIT
//
// The pseudo device with the VFIO files that serve a virtual machine (virt/kvm/vfio.c;
// Documentation/virt/kvm/devices/vfio.rst).

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
    /// ENXIO there is no such attribute
    /// EFAULT the descriptor, or the struct with two of them, cannot be read
    /// KVM_DEV_VFIO_FILE_ADD:
    /// EBADF the descriptor is not open
    /// EINVAL the descriptor is not VFIO's, or VFIO is not loaded
    /// EEXIST the file was added already
    /// ENOMEM an injected failure
    /// KVM_DEV_VFIO_FILE_DEL:
    /// EBADF the descriptor is not open
    /// ENOENT the file was not added
    /// KVM_DEV_VFIO_GROUP_SET_SPAPR_TCE, on POWER:
    /// EBADF the group's descriptor is not open
    /// ENOENT the group was not added
    /// EIO the file is a device, not a group
    /// EBADF the table's descriptor is not open
    /// and what Vm::attach_tables() says
    Result<std::int64_t> set_attribute(fs::Task& task, const Attribute& attribute) override
        EXCLUDES(mutex_);
    /// Does not read the address.
    /// ENXIO there is no such attribute
    Result<std::int64_t> has_attribute(fs::Task& task, const Attribute& attribute) override;

  private:
    Result<> add(fs::Task& task, int fd) EXCLUDES(mutex_);
    Result<> remove(fs::Task& task, int fd) EXCLUDES(mutex_);
    Result<> set_spapr_tce(fs::Task& task, std::uint64_t address) EXCLUDES(mutex_);
    struct KvmVfioFile {
        Ref<fs::File> file;
        iommu::Group* group = nullptr;  // once a table of it may be linked to a guest's table
    };
    std::vector<KvmVfioFile>::iterator find(const fs::File& file) REQUIRES(mutex_);
    // Undoes an add(), except for the list.
    void release(const KvmVfioFile& served) REQUIRES(mutex_);
    void update_coherency() REQUIRES(mutex_);

    Vm& vm_;
    Mutex mutex_{lock_order::kDevice};
    std::vector<KvmVfioFile> file_list_ GUARDED_BY(mutex_);
    bool noncoherent_ GUARDED_BY(mutex_) = false;
};

}  // namespace kvmiommu::kvm
