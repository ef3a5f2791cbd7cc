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
}  // namespace

Result<bool> DeviceOps::match(std::string_view name) const {
    return name == device_->name();
}

Device::Device(Group& group, DeviceSet& device_set, std::string name,
               std::unique_ptr<DeviceOps> driver)
    : group_(group), device_set_(device_set), name_(std::move(name)), driver_(std::move(driver)) {
    driver_->device_ = this;
}

Result<> Device::open(fs::Task& task) {
    const DeviceSet::Turn turn = TRY(device_set_.begin(task));
    if (closing_) {
        return refuse(EDEADLK, "the device is being closed, by this very call", kOpen);
    }
    if (!TRY(group_.open_device(task, *this))) {
        return {};
    }
    dma_access_ = group_.backend()->dma_access();
    driver_->open();
    if (DmaUser* const user = registered()) {
        dma_access_->register_device(*user);
    }
    return {};
}

DmaUser* Device::registered() {
    return dma_access_ == nullptr ? nullptr : driver_->dma_user();
}

void Device::close() {
    if (!group_.close_unless_last(*this)) {
        device_set_.close(*this);
    }
}

// The last close closes the driver while the group is still in its container. Another thread may
// have opened the device before this one got the turn.
void Device::close_in_turn() {
    if (group_.last_open(*this)) {
        closing_ = true;
        driver_->close();
        if (DmaUser* const user = registered()) {
            dma_access_->unregister_device(*user);
        }
        dma_access_ = nullptr;
        closing_ = false;
    }
    group_.close_device(*this);
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

}  // namespace kvmiommu::vfio
