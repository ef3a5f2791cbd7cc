// SPDX-License-Identifier: MIT
//
// What a driver makes of its device (include/linux/vfio.h: vfio_device_ops).

#pragma once

#include <cstdint>

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

    /// The first descriptor is opened, the last one closed.
    virtual void open() = 0;
    virtual void close() = 0;

    /// ENOTTY: not known.
    virtual Result<std::int64_t> ioctl(fs::Task& task, std::uint32_t command,
                                       std::uint64_t argument) = 0;
    /// Bytes moved. EINVAL no such region; else what the region says.
    virtual Result<std::int64_t> read(fs::Task& task, fs::UserBuffer to, std::uint64_t offset) = 0;
    virtual Result<std::int64_t> write(fs::Task& task, fs::UserBuffer from,
                                       std::uint64_t offset) = 0;
    /// ENODEV: nothing can be mapped.
    virtual Result<fs::FileMapping> map(fs::Task& task, Ref<fs::File> file,
                                        const fs::FileMapRequest& request) = 0;

    /// Does an IOMMU promise that all its DMA can be made to snoop the caches?
    virtual bool enforced_coherent() const = 0;
    /// What is called before an unmap while the device is open; null: the driver pins nothing.
    virtual DmaUser* dma_user() { return nullptr; }

  protected:
    DeviceOps() = default;
    /// What it was bound to. Not while the object is made.
    Device& device() const { return *device_; }

  private:
    friend class Device;
    Device* device_ = nullptr;
};

}  // namespace kvmiommu::vfio
