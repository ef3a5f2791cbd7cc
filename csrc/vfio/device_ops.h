// SPDX-License-Identifier: MIT
//
// The operations of a driver of VFIO devices (include/linux/vfio.h: vfio_device_ops).

#pragma once

#include <cstdint>
#include <string_view>

#include "base/base.h"
#include "fs/file.h"

namespace kvmiommu::vfio {

class Device;
class DmaUser;

class DeviceOps {
  public:
    virtual ~DeviceOps() = default;
    DeviceOps(const DeviceOps&) = delete;
    DeviceOps& operator=(const DeviceOps&) = delete;

    /// Does VFIO_GROUP_GET_DEVICE_FD with `name` ask for this device? (vfio_device_ops.match; a
    /// driver without it compares names) EINVAL it does, with an option that the driver does not
    /// take
    virtual Result<bool> match(std::string_view name) const;

    /// Called at the device's first open and at its last close.
    virtual void open() = 0;
    virtual void close() = 0;

    /// ENOTTY the request is unknown
    /// and what the request says
    virtual Result<std::int64_t> ioctl(fs::Task& task, std::uint32_t command,
                                       std::uint64_t argument) = 0;
    /// `offset` names the region and the offset into it. Returns the bytes moved.
    /// EINVAL the device has no such region
    /// and what the region says
    virtual Result<std::int64_t> read(fs::Task& task, fs::UserBuffer to, std::uint64_t offset) = 0;
    virtual Result<std::int64_t> write(fs::Task& task, fs::UserBuffer from,
                                       std::uint64_t offset) = 0;
    /// ENODEV the device has nothing that can be mapped
    /// EINVAL the region cannot be mapped, or not so much of it
    virtual Result<fs::FileMapping> map(fs::Task& task, Ref<fs::File> file,
                                        const fs::FileMapRequest& request) = 0;

    /// Can its IOMMU make all its DMA snoop the caches?
    virtual bool enforced_coherent() const = 0;
    /// Called before an unmap while the device is open; null: the driver pins nothing.
    virtual DmaUser* dma_user() { return nullptr; }

  protected:
    DeviceOps() = default;
    /// The device it is bound to. Not valid in a constructor.
    Device& device() const { return *device_; }

  private:
    friend class Device;
    Device* device_ = nullptr;
};

}  // namespace kvmiommu::vfio
