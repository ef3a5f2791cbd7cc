// SPDX-License-Identifier: MIT
//
// A device bound to a VFIO driver (drivers/vfio/vfio_main.c: vfio_device).

#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "base/base.h"
#include "fs/file.h"
#include "vfio/device_ops.h"
#include "vfio/device_set.h"

namespace kvmiommu::vfio {

class DmaAccess;
class DmaUser;
class Group;

class Device {
  public:
    /// `driver` has created the hardware of `name`, "0000:00:02.0".
    Device(Group& group, DeviceSet& device_set, std::string name,
           std::unique_ptr<DeviceOps> driver);
    Device(const Device&) = delete;
    Device& operator=(const Device&) = delete;

    const std::string& name() const { return name_; }
    /// What DeviceOps::match() says.
    Result<bool> match(std::string_view name) const { return driver_->match(name); }
    Group& group() { return group_; }

    /// Can all its DMA be made to snoop the caches?
    bool enforced_coherent() const { return driver_->enforced_coherent(); }

    /// Opens the device once more. The first open opens the driver.
    /// and what DeviceSet::begin() says
    /// EDEADLK this thread is closing the device
    /// and what Group::open_device() says
    Result<> open(fs::Task& task);
    /// Closes the device once. The last close closes the driver, or leaves that to the thread that
    /// has the set's turn.
    void close();

    DeviceSet& device_set() { return device_set_; }

    DeviceOps& driver() { return *driver_; }

    // --- for drivers of emulated devices, while the device is open
    // (drivers/vfio/vfio_main.c: vfio_pin_pages, vfio_unpin_pages, vfio_dma_rw) ---

    /// EINVAL no page
    /// ENOTTY the container's IOMMU driver pins no pages
    /// and what DmaAccess::pin_pages() says
    Result<> pin_pages(fs::Task& task, std::uint64_t iova, std::uint32_t protection,
                       std::span<mm::PhysAddr> pages);
    void unpin_pages(std::uint64_t iova, std::uint64_t count);
    /// EINVAL no bytes
    /// ENOTTY the container's IOMMU driver moves no data
    /// and what DmaAccess::dma_rw() says
    Result<> dma_rw(fs::Task& task, std::uint64_t iova, std::span<std::byte> data, bool write);

  private:
    friend class Group;
    friend class DeviceSet;
    // With the turn of the set.
    void close_in_turn();
    // What is registered with the container while the device is open; null: nothing.
    DmaUser* registered();

    Group& group_;
    DeviceSet& device_set_;
    const std::string name_;
    const std::unique_ptr<DeviceOps> driver_;
    bool closing_ = false;  // guarded by the turn of the set
    // The container's, which stays while the device is open; else null.
    DmaAccess* dma_access_ = nullptr;
    // Guarded by the group's lock. While the device is open, the group's file stays open.
    std::uint32_t open_count_ = 0;
    Ref<fs::File> group_file_{"vfio_device.group file"};
    Ref<RefCounted> kvm_{"vfio_device.kvm"};
};

}  // namespace kvmiommu::vfio
