// SPDX-License-Identifier: MIT
//
// A device bound to a VFIO driver (drivers/vfio/vfio_main.c: vfio_device).

#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "base/base.h"
#include "fs/file.h"
#include "vfio/device_ops.h"
#include "vfio/device_set.h"

namespace kvmiommu::vfio {

class DmaAccess;
class Group;

class Device {
  public:
    /// `driver` has put together what `name` ("0000:00:02.0") stands for.
    Device(Group& group, DeviceSet& device_set, std::string name,
           std::unique_ptr<DeviceOps> driver);
    Device(const Device&) = delete;
    Device& operator=(const Device&) = delete;

    const std::string& name() const { return name_; }
    Group& group() { return group_; }

    /// Can all its DMA be made to snoop the caches?
    bool enforced_coherent() const { return driver_->enforced_coherent(); }

    /// One more open. The first opens the driver.
    /// EINTR   the task is interrupted while another thread opens, closes or resets the device
    /// EDEADLK this thread closes it; or another one has its turn, and this one that of others
    /// and what Group::open_device() says
    Result<> open(fs::Task& task);
    /// One open less. The last closes the driver, or leaves that to the thread that has the turn.
    void close();

    DeviceSet& device_set() { return device_set_; }

    /// What its driver makes of it.
    DeviceOps& driver() { return *driver_; }

    // --- for drivers that do without an IOMMU, while the device is open
    // (drivers/vfio/vfio_main.c: vfio_pin_pages, vfio_unpin_pages, vfio_dma_rw) ---

    /// EINVAL no page
    /// ENOTTY the container's IOMMU driver pins no pages
    /// and what DmaAccess::pin_pages() says
    Result<> pin_pages(fs::Task& task, std::uint64_t iova, std::uint32_t protection,
                       std::span<mm::PhysAddr> pages);
    void unpin_pages(std::uint64_t iova, std::uint64_t count);
    /// EINVAL nothing to move
    /// ENOTTY the container's IOMMU driver moves no data
    /// and what DmaAccess::dma_rw() says
    Result<> dma_rw(fs::Task& task, std::uint64_t iova, std::span<std::byte> data, bool write);

  private:
    friend class Group;
    friend class DeviceSet;
    // With the turn of the set.
    void close_in_turn();

    Group& group_;
    DeviceSet& device_set_;
    const std::string name_;
    const std::unique_ptr<DeviceOps> driver_;
    bool closing_ = false;  // guarded by the turn of the set
    // While a descriptor is open: the container's, which stays as long.
    DmaAccess* dma_access_ = nullptr;
    // The group's lock guards these: while a descriptor is open the group's file stays open.
    std::uint32_t open_count_ = 0;
    Ref<fs::File> group_file_{"vfio_device.group file"};
    Ref<RefCounted> kvm_{"vfio_device.kvm"};
};

}  // namespace kvmiommu::vfio
