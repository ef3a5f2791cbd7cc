// SPDX-License-Identifier: MIT
//
// One open of a device (drivers/vfio/vfio_main.c: vfio_device_file).

#pragma once

#include <cstdint>

#include "fs/file.h"
#include "vfio/lock_order.h"

namespace kvmiommu::vfio {

class Device;

class DeviceFile final : public fs::File {
  public:
    /// What Device::open() says.
    static Result<Ref<DeviceFile>> open(fs::Task& task, Device& device);
    explicit DeviceFile(Device& device);
    ~DeviceFile() override;

    const Device& device() const { return device_; }
    Device& device() { return device_; }

    // Passed to the driver: the errors are those of DeviceOps. read() and write() use and advance
    // the file's position.

    Result<std::int64_t> ioctl(fs::Task& task, std::uint32_t command,
                               std::uint64_t argument) override;
    Result<std::int64_t> read(fs::Task& task, fs::UserBuffer to) override EXCLUDES(position_mutex_);
    Result<std::int64_t> write(fs::Task& task, fs::UserBuffer from) override
        EXCLUDES(position_mutex_);
    Result<std::int64_t> pread(fs::Task& task, fs::UserBuffer to, std::uint64_t offset) override;
    Result<std::int64_t> pwrite(fs::Task& task, fs::UserBuffer from, std::uint64_t offset) override;
    Result<fs::FileMapping> mmap(fs::Task& task, const fs::FileMapRequest& request) override;

  private:
    Device& device_;
    // The device was opened for this file: closed when the file is released.
    bool access_granted_ = false;
    Mutex position_mutex_{lock_order::kPosition};
    std::uint64_t position_ GUARDED_BY(position_mutex_) = 0;
};

}  // namespace kvmiommu::vfio
