// SPDX-License-Identifier: MIT
//
// A device bound to a VFIO driver, and its descriptors (drivers/vfio/vfio_main.c).

#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include "base/base.h"
#include "fs/file.h"
#include "fs/sleeper.h"
#include "vfio/device_ops.h"

namespace kvmiommu::vfio {

class DmaAccess;
class Group;

class Device {
  public:
    /// `driver` has put together what `name` ("0000:00:02.0") stands for.
    Device(Group& group, std::string name, std::unique_ptr<DeviceOps> driver);
    Device(const Device&) = delete;
    Device& operator=(const Device&) = delete;

    const std::string& name() const { return name_; }
    Group& group() { return group_; }

    /// Can all its DMA be made to snoop the caches?
    bool enforced_coherent() const { return driver_->enforced_coherent(); }

    /// A new descriptor's file, through its group. As Group::open_device(); EINTR while another
    /// thread opens or closes the device; EDEADLK while this thread closes it, or has another
    /// device's turn and would have to wait.
    Result<Ref<fs::File>> open(fs::Task& task) EXCLUDES(mutex_);
    void close() EXCLUDES(mutex_);

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
    // Opening and closing go one after the other (dev_set->lock). A thread has the turn while it
    // calls the driver; it is no mutex, for the device's model is called meanwhile, which may open
    // and close the device itself.
    enum class Turn : std::uint8_t { nobody, opening, closing };
    // False: this thread opens the device already. Else end_turn() follows.
    Result<bool> begin_open(fs::Task& task) EXCLUDES(mutex_);
    // Waits at most for an open that calls no driver: the caller's own descriptor is one more.
    void begin_close() EXCLUDES(mutex_);
    void take_turn(Turn turn) REQUIRES(mutex_);
    void end_turn() EXCLUDES(mutex_);

    Group& group_;
    const std::string name_;
    const std::unique_ptr<DeviceOps> driver_;
    Mutex mutex_;
    Condition changed_;
    Turn turn_ GUARDED_BY(mutex_) = Turn::nobody;
    std::thread::id owner_ GUARDED_BY(mutex_);
    std::vector<fs::Sleeper*> sleepers_ GUARDED_BY(mutex_);
    // While a descriptor is open: the container's, which stays as long.
    DmaAccess* dma_access_ = nullptr;
    // The group's lock guards these: while a descriptor is open the group's file stays open.
    std::uint32_t open_count_ = 0;
    Ref<fs::File> group_file_{"vfio_device.group file"};
    Ref<RefCounted> kvm_{"vfio_device.kvm"};
};

class DeviceFile final : public fs::File {
  public:
    explicit DeviceFile(Device& device);
    ~DeviceFile() override;

    const Device& device() const { return device_; }
    Device& device() { return device_; }

    /// What the driver says, with its contract: DeviceOps.
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
    Mutex position_mutex_;
    std::uint64_t position_ GUARDED_BY(position_mutex_) = 0;
};

}  // namespace kvmiommu::vfio
