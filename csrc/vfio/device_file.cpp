// SPDX-License-Identifier: MIT

#include "vfio/device_file.h"

#include "fs/task.h"
#include "vfio/device.h"
#include "vfio/group.h"

namespace kvmiommu::vfio {

DeviceFile::DeviceFile(Device& device)
    : File(device.group().kernel(), "vfio-device", O_RDWR, true), device_(device) {}

Result<Ref<DeviceFile>> DeviceFile::open(fs::Task& task, Device& device) {
    Ref<DeviceFile> file = make<DeviceFile>(device);
    TRY(device.open(task));
    file->access_granted_ = true;
    return file;
}

DeviceFile::~DeviceFile() {
    if (access_granted_) {
        device_.close();
    }
}

Result<std::int64_t> DeviceFile::ioctl(fs::Task& task, std::uint32_t command,
                                       std::uint64_t argument) {
    return device_.driver().ioctl(task, command, argument);
}

// The access may call a device's model, so the position is not locked across it.
Result<std::int64_t> DeviceFile::read(fs::Task& task, fs::UserBuffer to) {
    std::uint64_t position = 0;
    {
        const Lock lock(position_mutex_);
        position = position_;
    }
    const std::int64_t moved = TRY(device_.driver().read(task, to, position));
    const Lock lock(position_mutex_);
    position_ = position + static_cast<std::uint64_t>(moved);
    return moved;
}

Result<std::int64_t> DeviceFile::write(fs::Task& task, fs::UserBuffer from) {
    std::uint64_t position = 0;
    {
        const Lock lock(position_mutex_);
        position = position_;
    }
    const std::int64_t moved = TRY(device_.driver().write(task, from, position));
    const Lock lock(position_mutex_);
    position_ = position + static_cast<std::uint64_t>(moved);
    return moved;
}

Result<std::int64_t> DeviceFile::pread(fs::Task& task, fs::UserBuffer to, std::uint64_t offset) {
    return device_.driver().read(task, to, offset);
}

Result<std::int64_t> DeviceFile::pwrite(fs::Task& task, fs::UserBuffer from, std::uint64_t offset) {
    return device_.driver().write(task, from, offset);
}

Result<fs::FileMapping> DeviceFile::mmap(fs::Task& task, const fs::FileMapRequest& request) {
    return device_.driver().map(task, Ref<fs::File>(*this), request);
}

}  // namespace kvmiommu::vfio
