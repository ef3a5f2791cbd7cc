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

    /// open() of /dev/vfio/N. (vfio_group_fops_open)
    /// EPERM a group without an IOMMU, and the task lacks CAP_SYS_RAWIO
    /// EBUSY the group is open already
    Result<Ref<fs::File>> open(fs::Task& task, int flags) EXCLUDES(mutex_);

    /// VFIO_GROUP_GET_STATUS: viable while its DMA can be claimed. Does not fail.
    Result<std::int64_t> get_status(fs::Block<uapi::vfio_group_status> status) EXCLUDES(mutex_);
    /// VFIO_GROUP_SET_CONTAINER.
    /// EFAULT the descriptor cannot be read
    /// EBADF the descriptor is not open
    /// EINVAL the group is in a container already
    /// EBADFD the descriptor is not a container
    /// and what Container::attach_group() says
    Result<std::int64_t> set_container(fs::Task& task, std::uint64_t argument) EXCLUDES(mutex_);
    /// VFIO_GROUP_UNSET_CONTAINER.
    /// EINVAL the group is in no container
    /// EBUSY a device is open, or there is an external user
    Result<std::int64_t> unset_container(fs::Task& task, std::uint64_t argument) EXCLUDES(mutex_);
    /// VFIO_GROUP_GET_DEVICE_FD. Returns the new descriptor.
    /// EFAULT the name cannot be read
    /// EINVAL the name has no NUL within a page's length
    /// ENODEV the name is not that of a device of this group
    /// and what DeviceOps::match() says
    /// EBADF the process has exited
    /// EMFILE RLIMIT_NOFILE descriptors are open
    /// and what Device::open() says
    Result<std::int64_t> get_device_fd(fs::Task& task, std::uint64_t argument) EXCLUDES(mutex_);

    // --- for devices ---

    /// Counts one more open of a device. The first open gets a reference to the group's file and
    /// becomes a user of the container. Returns whether this is the first.
    /// EINVAL the group is in no container
    /// EINVAL first open: the container has no IOMMU driver
    /// EPERM first open: a group without an IOMMU, and the task lacks CAP_SYS_RAWIO
    Result<bool> open_device(fs::Task& task, Device& device) EXCLUDES(mutex_);
    /// Counts one open less unless it is the last one. Returns false for the last one.
    bool close_unless_last(Device& device) EXCLUDES(mutex_);
    bool last_open(const Device& device) EXCLUDES(mutex_);
    /// Counts one open less. The last one puts what the first one got.
    void close_device(Device& device) EXCLUDES(mutex_);

    /// The backend of the group's container; null without a container or without a driver.
    Ref<IommuBackend> backend() EXCLUDES(mutex_);

    // --- for external users ---

    /// Can every DMA of the group be made to snoop the caches? A property of the IOMMU, not of the
    /// domain that is attached now. (vfio_group_enforced_coherent)
    bool enforced_coherent() const;
    /// The virtual machine that the group's devices serve from their next open on; null: none.
    void set_kvm(RefCounted* kvm) EXCLUDES(mutex_);
    /// Keeps the group in its container until put_external_user().
    /// EINVAL the group is in no container
    /// EPERM the group has no IOMMU
    /// EINVAL the container has no IOMMU driver
    Result<> get_external_user() EXCLUDES(mutex_);
    void put_external_user() EXCLUDES(mutex_);

  private:
    friend class GroupFile;
    // The device that `name` asks for. (vfio_device_get_from_name)
    Result<Device*> find_device(std::string_view name) const;
    // Called when the last reference to the group's file is put.
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
    /// ENOTTY the request is unknown
    /// and what the request says, above
    Result<std::int64_t> ioctl(fs::Task& task, std::uint32_t command,
                               std::uint64_t argument) override;

  private:
    Group& group_;
};

}  // namespace kvmiommu::vfio
