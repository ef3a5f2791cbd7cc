// SPDX-License-Identifier: MIT

#include "vfio/device.h"

#include <utility>

#include "fs/task.h"
#include "vfio/dma_access.h"
#include "vfio/dma_user.h"
#include "vfio/group.h"

namespace kvmiommu::vfio {

namespace {
constexpr Source kOpen{"drivers/vfio/group.c: vfio_df_group_open"};
constexpr Source kPin{"drivers/vfio/vfio_main.c: vfio_pin_pages"};
constexpr Source kDmaRw{"drivers/vfio/vfio_main.c: vfio_dma_rw"};
constexpr Source kContainerPin{"drivers/vfio/container.c: vfio_device_container_pin_pages"};
constexpr Source kContainerDmaRw{"drivers/vfio/container.c: vfio_device_container_dma_rw"};

// How many devices, of whatever machine, this thread opens or closes just now: a model that is
// called meanwhile may come back for another.
constinit thread_local unsigned turns_of_this_thread = 0;
}  // namespace

Device::Device(Group& group, std::string name, std::unique_ptr<DeviceOps> driver)
    : group_(group), name_(std::move(name)), driver_(std::move(driver)) {}

void Device::take_turn(Turn turn) {
    turn_ = turn;
    owner_ = std::this_thread::get_id();
    ++turns_of_this_thread;
}

void Device::end_turn() {
    const Lock lock(mutex_);
    turn_ = Turn::nobody;
    --turns_of_this_thread;
    for (fs::Sleeper* const sleeper : sleepers_) {
        sleeper->wake();
    }
    changed_.notify_all();
}

Result<bool> Device::begin_open(fs::Task& task) {
    for (;;) {
        fs::Sleeper sleeper;
        {
            const Lock lock(mutex_);
            if (turn_ == Turn::nobody) {
                take_turn(Turn::opening);
                return true;
            }
            if (owner_ == std::this_thread::get_id()) {
                if (turn_ == Turn::opening) {
                    return false;
                }
                return refuse(EDEADLK, "the device is being closed, by this very call", kOpen);
            }
            // Whoever has the turn may be waiting for what this thread opens or closes.
            if (turns_of_this_thread != 0) {
                return refuse(EDEADLK,
                              "another thread opens or closes the device, while this one opens or "
                              "closes another",
                              kOpen);
            }
            sleepers_.push_back(&sleeper);
        }
        const bool interrupted = task.sleep(sleeper);
        const Lock lock(mutex_);
        std::erase(sleepers_, &sleeper);
        if (interrupted) {
            return refuse(EINTR, "interrupted while another call opens or closes the device",
                          kOpen);
        }
    }
}

void Device::begin_close() {
    const Lock lock(mutex_);
    while (turn_ != Turn::nobody) {
        changed_.wait(mutex_);
    }
    take_turn(Turn::closing);
}

Result<Ref<fs::File>> Device::open(fs::Task& task) {
    const bool turn = TRY(begin_open(task));
    const auto opened = group_.open_device(task, *this);
    if (opened && *opened) {
        dma_access_ = group_.backend()->dma_access();
        driver_->open();
        if (DmaUser* const user = driver_->dma_user(); user != nullptr && dma_access_ != nullptr) {
            dma_access_->register_device(*user);
        }
    }
    if (turn) {
        end_turn();
    }
    if (!opened) {
        return std::unexpected(opened.error());
    }
    return make<DeviceFile>(*this);
}

// The last one closes the driver while the device still belongs to its container. Another open may
// come before it has the turn.
void Device::close() {
    if (group_.close_unless_last(*this)) {
        return;
    }
    begin_close();
    if (group_.last_open(*this)) {
        driver_->close();
        if (DmaUser* const user = driver_->dma_user(); user != nullptr && dma_access_ != nullptr) {
            dma_access_->unregister_device(*user);
        }
        dma_access_ = nullptr;
    }
    group_.close_device(*this);
    end_turn();
}

Result<> Device::pin_pages(fs::Task& task, std::uint64_t iova, std::uint32_t protection,
                           std::span<mm::PhysAddr> pages) {
    if (pages.empty()) {
        return refuse(EINVAL, "no page", kPin);
    }
    if (dma_access_ == nullptr) {
        return refuse(ENOTTY, "the container's IOMMU driver pins no pages", kContainerPin);
    }
    return dma_access_->pin_pages(task, iova, protection, pages);
}

void Device::unpin_pages(std::uint64_t iova, std::uint64_t count) {
    if (dma_access_ != nullptr) {
        dma_access_->unpin_pages(iova, count);
    }
}

Result<> Device::dma_rw(fs::Task& task, std::uint64_t iova, std::span<std::byte> data, bool write) {
    if (data.empty()) {
        return refuse(EINVAL, "no byte to move", kDmaRw);
    }
    if (dma_access_ == nullptr) {
        return refuse(ENOTTY, "the container's IOMMU driver moves no data", kContainerDmaRw);
    }
    return dma_access_->dma_rw(task, iova, data, write);
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
