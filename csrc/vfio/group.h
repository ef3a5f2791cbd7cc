// SPDX-License-Identifier: MIT
//
// An IOMMU group whose devices are bound to VFIO drivers (drivers/vfio/group.c).

#pragma once

#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "fs/file.h"
#include "fs/ioctl.h"
#include "iommu/group.h"
#include "uapi/vfio.h"
#include "vfio/container.h"
#include "vfio/device.h"
#include "vfio/iommu_backend.h"
#include "vfio/lock_order.h"

namespace kvmiommu::vfio {

class GroupFile;

class Group {
  public:
    Group(fs::Kernel& kernel, iommu::Group& iommu_group, GroupType type);
    Group(const Group&) = delete;
    Group& operator=(const Group&) = delete;

    fs::Kernel& kernel() { return kernel_; }
    iommu::Group& iommu_group() { return iommu_group_; }
    GroupType type() const { return type_; }
    /// Only while the machine is put together.
    void add_device(DeviceSet& set, std::string name, std::unique_ptr<DeviceOps> driver);

    /// open() of /dev/vfio/N: EPERM a group without an IOMMU, without CAP_SYS_RAWIO; EBUSY open
    /// already. (vfio_group_fops_open)
    Result<Ref<fs::File>> open(fs::Task& task, int flags) EXCLUDES(mutex_);

    Result<std::int64_t> get_status(fs::Block<uapi::vfio_group_status> status) EXCLUDES(mutex_);
    /// EFAULT, EBADF; EINVAL in a container already; EBADFD not a container; else
    /// Container::attach_group().
    Result<std::int64_t> set_container(fs::Task& task, std::uint64_t argument) EXCLUDES(mutex_);
    /// EINVAL in none; EBUSY a device is open.
    Result<std::int64_t> unset_container(fs::Task& task, std::uint64_t argument) EXCLUDES(mutex_);
    /// EFAULT; EINVAL a name of a page or more; ENODEV not a device of this group; EMFILE; EINVAL
    /// no container, or one without a driver.
    Result<std::int64_t> get_device_fd(fs::Task& task, std::uint64_t argument) EXCLUDES(mutex_);

    // --- for devices ---

    /// One more open of a device. The first holds the group's file and the container. Answers
    /// whether it is the first.
    Result<bool> open_device(fs::Task& task, Device& device) EXCLUDES(mutex_);
    /// Takes back one open unless it is the last; was it another one?
    bool close_unless_last(Device& device) EXCLUDES(mutex_);
    bool last_open(const Device& device) EXCLUDES(mutex_);
    void close_device(Device& device) EXCLUDES(mutex_);

    /// What the group's container maps with; null: no container, or none chosen.
    Ref<IommuBackend> backend() EXCLUDES(mutex_);

    // --- for external users ---

    /// Can every DMA of the group be made to snoop the caches? Asked of the IOMMU, not of what is
    /// attached now. (vfio_group_enforced_coherent)
    bool enforced_coherent() const;
    /// The virtual machine that the group's devices are to serve, or null: passed to the next
    /// device that is opened.
    void set_kvm(RefCounted* kvm) EXCLUDES(mutex_);
    /// Keeps the group in its container until put: EPERM without an IOMMU; EINVAL in no container,
    /// or in one without a driver.
    Result<> get_external_user() EXCLUDES(mutex_);
    void put_external_user() EXCLUDES(mutex_);

  private:
    friend class GroupFile;
    // The last reference to the group's file is gone.
    void released() EXCLUDES(mutex_);

    fs::Kernel& kernel_;
    iommu::Group& iommu_group_;
    const GroupType type_;
    std::vector<std::unique_ptr<Device>> devices_;  // as the machine was put together

    Mutex mutex_{lock_order::kGroup};  // group_lock
    GroupFile* opened_file_ GUARDED_BY(mutex_) = nullptr;
    Ref<Container> container_ GUARDED_BY(mutex_){"vfio_group.container"};
    std::uint32_t container_users_ GUARDED_BY(mutex_) = 0;
    RefCounted* kvm_ GUARDED_BY(mutex_) = nullptr;
};

class GroupFile final : public fs::File {
  public:
    GroupFile(Group& group, int flags);
    ~GroupFile() override;

    const Group& group() const { return group_; }
    Group& group() { return group_; }
    Result<std::int64_t> ioctl(fs::Task& task, std::uint32_t command,
                               std::uint64_t argument) override;

  private:
    Group& group_;
};

}  // namespace kvmiommu::vfio
