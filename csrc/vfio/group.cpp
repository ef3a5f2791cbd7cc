// SPDX-License-Identifier: MIT

#include "vfio/group.h"

#include <algorithm>
#include <cassert>
#include <cstddef>
#include <string>
#include <utility>

#include "fs/ioctl_table.h"
#include "vfio/device_file.h"

namespace kvmiommu::vfio {

namespace {

constexpr Source kOpen{"drivers/vfio/group.c: vfio_group_fops_open"};
constexpr Source kSetContainer{"drivers/vfio/group.c: vfio_group_ioctl_set_container"};
constexpr Source kUnsetContainer{"drivers/vfio/group.c: vfio_group_ioctl_unset_container"};
constexpr Source kGetDevice{"drivers/vfio/group.c: vfio_group_ioctl_get_device_fd"};
constexpr Source kExternalUser{"drivers/vfio/vfio.c: vfio_group_get_external_user"};
constexpr Source kOpenDevice{"drivers/vfio/group.c: vfio_df_group_open"};
constexpr Source kUseContainer{"drivers/vfio/container.c: vfio_group_use_container"};
constexpr Source kIoctl{"drivers/vfio/group.c: vfio_group_fops_unl_ioctl"};

constexpr fs::IoctlRow<Group> kRows[] = {
    fs::vfio_row<&Group::get_status>(uapi::VFIO_GROUP_GET_STATUS, &uapi::vfio_group_status::flags,
                                     fs::Reply::success),
    fs::value_row<&Group::set_container>(uapi::VFIO_GROUP_SET_CONTAINER),
    fs::value_row<&Group::unset_container>(uapi::VFIO_GROUP_UNSET_CONTAINER),
    fs::value_row<&Group::get_device_fd>(uapi::VFIO_GROUP_GET_DEVICE_FD),
};

constexpr fs::IoctlTable<Group> kTable{kRows,
                                       {ENOTTY, "request {:x} means nothing to a group", kIoctl}};

// strndup_user(): a string of at most a page, including its NUL.
Result<std::string> user_string(fs::Task& task, std::uint64_t address) {
    const std::uint64_t most = task.mm().page_size();
    std::string name;
    while (name.size() < most) {
        const char next = TRY(mm::UserPtr<char>(address + name.size()).read(task.mm()));
        if (next == '\0') {
            return name;
        }
        name += next;
    }
    return refuse(EINVAL, "a name of {} bytes or more", kGetDevice, most);
}

}  // namespace

Group::Group(fs::Kernel& kernel, iommu::Group& iommu_group, GroupType type)
    : kernel_(kernel), iommu_group_(iommu_group), type_(type) {}

void Group::add_device(DeviceSet& set, std::string name, std::unique_ptr<DeviceOps> driver) {
    devices_.push_back(std::make_unique<Device>(*this, set, std::move(name), std::move(driver)));
}

Result<Ref<fs::File>> Group::open(fs::Task& task, int flags) {
    if (type_ == GroupType::noiommu && !task.capable(fs::Capability::sys_rawio)) {
        return refuse(EPERM, "a group without an IOMMU, without CAP_SYS_RAWIO", kOpen);
    }
    const Lock lock(mutex_);
    if (opened_file_ != nullptr) {
        return refuse(EBUSY, "group {} is open: by a descriptor, a device of it or KVM", kOpen,
                      iommu_group_.id());
    }
    Ref<GroupFile> file = make<GroupFile>(*this, flags);
    opened_file_ = file.get();
    return file;
}

void Group::released() {
    Ref<IommuBackend> backend;
    Ref<Container> container;
    const Lock lock(mutex_);
    if (container_) {
        assert(container_users_ == 1);
        backend = container_->detach_group(*this);
        container = std::move(container_);
        container_users_ = 0;
    }
    kvm_ = nullptr;
    opened_file_ = nullptr;
}

Result<std::int64_t> Group::get_status(fs::Block<uapi::vfio_group_status> status) {
    const Lock lock(mutex_);
    status->flags = 0;
    if (container_) {
        status->flags = uapi::VFIO_GROUP_FLAGS_CONTAINER_SET | uapi::VFIO_GROUP_FLAGS_VIABLE;
    } else if (!iommu_group_.dma_owner_claimed()) {
        status->flags = uapi::VFIO_GROUP_FLAGS_VIABLE;
    }
    return 0;
}

Result<std::int64_t> Group::set_container(fs::Task& task, std::uint64_t argument) {
    const std::int32_t fd = TRY(mm::UserPtr<std::int32_t>(argument).read(task.mm()));
    const Ref<fs::File> file = TRY(task.files().get(fd));
    const Lock lock(mutex_);
    if (container_) {
        return refuse(EINVAL, "group {} is in a container", kSetContainer, iommu_group_.id());
    }
    auto* const opened = dynamic_cast<ContainerFile*>(file.get());
    if (opened == nullptr) {
        return refuse(EBADFD, "descriptor {} is not a container", kSetContainer, fd);
    }
    TRY(opened->container().attach_group(task, *this));
    container_ = Ref<Container>(opened->container());
    container_users_ = 1;
    return 0;
}

Result<std::int64_t> Group::unset_container(fs::Task&, std::uint64_t) {
    Ref<IommuBackend> backend;
    Ref<Container> container;
    const Lock lock(mutex_);
    if (!container_) {
        return refuse(EINVAL, "group {} is in no container", kUnsetContainer, iommu_group_.id());
    }
    if (container_users_ != 1) {
        return refuse(EBUSY, "group {} has {} more users than its container", kUnsetContainer,
                      iommu_group_.id(), container_users_ - 1);
    }
    backend = container_->detach_group(*this);
    container = std::move(container_);
    container_users_ = 0;
    return 0;
}

Result<Device*> Group::find_device(std::string_view name) const {
    for (const auto& device : devices_) {
        if (TRY(device->match(name))) {
            return device.get();
        }
    }
    return refuse(ENODEV, "group {} has no device of that name bound to VFIO", kGetDevice,
                  iommu_group_.id());
}

Result<std::int64_t> Group::get_device_fd(fs::Task& task, std::uint64_t argument) {
    const std::string name = TRY(user_string(task, argument));
    Device* const device = TRY(find_device(name));
    const int fd = TRY(task.files().get_unused_fd(task.limit(fs::Resource::nofile)));
    auto file = DeviceFile::open(task, *device);
    if (!file) {
        task.files().put_unused_fd(fd);
        return std::unexpected(file.error());
    }
    task.files().fd_install(fd, *std::move(file));
    return fd;
}

Result<bool> Group::open_device(fs::Task& task, Device& device) {
    const Lock lock(mutex_);
    if (!container_) {
        return refuse(EINVAL, "group {} is in no container", kOpenDevice, iommu_group_.id());
    }
    if (device.open_count_ == 0) {
        if (!container_->backend()) {
            return refuse(EINVAL, "the container of group {} has no IOMMU driver yet",
                          kUseContainer, iommu_group_.id());
        }
        if (type_ == GroupType::noiommu && !task.capable(fs::Capability::sys_rawio)) {
            return refuse(EPERM, "a group without an IOMMU, without CAP_SYS_RAWIO", kUseContainer);
        }
        ++container_users_;
        device.group_file_ = Ref<fs::File>(*opened_file_);
        device.kvm_ = kvm_ != nullptr ? Ref<RefCounted>::unless_dying(*kvm_) : nullptr;
    }
    return ++device.open_count_ == 1;
}

bool Group::close_unless_last(Device& device) {
    const Lock lock(mutex_);
    if (device.open_count_ == 1) {
        return false;
    }
    --device.open_count_;
    return true;
}

bool Group::last_open(const Device& device) {
    const Lock lock(mutex_);
    return device.open_count_ == 1;
}

void Group::close_device(Device& device) {
    // Either may be the last reference, so both are put after the lock.
    Ref<fs::File> group_file;
    Ref<RefCounted> kvm;
    const Lock lock(mutex_);
    if (--device.open_count_ == 0) {
        --container_users_;
        group_file = std::move(device.group_file_);
        kvm = std::move(device.kvm_);
    }
}

Ref<IommuBackend> Group::backend() {
    const Lock lock(mutex_);
    return container_ ? container_->backend() : nullptr;
}

Result<> Group::get_external_user() {
    const Lock lock(mutex_);
    if (!container_) {
        return refuse(EINVAL, "group {} is in no container", kExternalUser, iommu_group_.id());
    }
    if (type_ == GroupType::noiommu) {
        return refuse(EPERM, "group {} has no IOMMU", kExternalUser, iommu_group_.id());
    }
    if (!container_->backend()) {
        return refuse(EINVAL, "the container of group {} has no IOMMU driver yet", kExternalUser,
                      iommu_group_.id());
    }
    ++container_users_;
    return {};
}

void Group::put_external_user() {
    const Lock lock(mutex_);
    assert(container_users_ > 1);
    --container_users_;
}

bool Group::enforced_coherent() const {
    return std::all_of(devices_.begin(), devices_.end(),
                       [](const auto& device) { return device->enforced_coherent(); });
}

void Group::set_kvm(RefCounted* kvm) {
    const Lock lock(mutex_);
    kvm_ = kvm;
}

GroupFile::GroupFile(Group& group, int flags)
    : File(group.kernel(), "/dev/vfio/N", flags, true), group_(group) {}

GroupFile::~GroupFile() {
    group_.released();
}

Result<std::int64_t> GroupFile::ioctl(fs::Task& task, std::uint32_t command,
                                      std::uint64_t argument) {
    return kTable.ioctl(group_, task, command, argument);
}

}  // namespace kvmiommu::vfio
