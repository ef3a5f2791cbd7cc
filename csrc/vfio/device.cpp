// SPDX-License-Identifier: MIT

#include "vfio/device.h"

#include "vfio/group.h"

namespace kvmiommu::vfio {

Device::Device(Group& group, const pci::Function& function)
    : group_(group),
      function_(function),
      driver_(std::make_unique<PciDevice>(group.kernel(), function)) {}

bool Device::enforced_coherent() const {
    return function_.device != nullptr && function_.device->instance().enforces_cache_coherency;
}

void Device::begin() {
    const Lock lock(mutex_);
    while (busy_) {
        changed_.wait(mutex_);
    }
    busy_ = true;
}

void Device::end() {
    const Lock lock(mutex_);
    busy_ = false;
    changed_.notify_all();
}

Result<Ref<fs::File>> Device::open(fs::Task& task) {
    begin();
    const auto opened = group_.open_device(task, *this);
    if (opened && *opened) {
        driver_->open();
    }
    end();
    if (!opened) {
        return std::unexpected(opened.error());
    }
    return make<DeviceFile>(*this);
}

// The last one closes the driver while the device still belongs to its container.
void Device::close() {
    begin();
    if (group_.last_open(*this)) {
        driver_->close();
    }
    group_.close_device(*this);
    end();
}

DeviceFile::DeviceFile(Device& device)
    : File(device.group().kernel(), "vfio-device", O_RDWR, true), device_(device) {}

DeviceFile::~DeviceFile() {
    device_.close();
}

Result<std::int64_t> DeviceFile::ioctl(fs::Task& task, std::uint32_t command,
                                       std::uint64_t argument) {
    return device_.driver().ioctl(task, command, argument);
}

// The position is read and advanced apart from the access, which may call a model.
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
