// SPDX-License-Identifier: MIT
//
// VFIO_DEVICE_IOEVENTFD: a signal of an eventfd stores a value into a BAR.
// Rules: drivers/vfio/pci/vfio_pci_rdwr.c: vfio_pci_ioeventfd.

#include <algorithm>
#include <bit>
#include <span>

#include "fs/kernel.h"
#include "fs/task.h"
#include "vfio/pci/pci_device.h"

namespace kvmiommu::vfio {

namespace {
constexpr Source kSource{"drivers/vfio/pci/vfio_pci_rdwr.c: vfio_pci_ioeventfd"};
constexpr std::size_t kMost = 1000;
}  // namespace

Result<std::int64_t> PciDevice::ioeventfd(fs::Block<uapi::vfio_device_ioeventfd> request) {
    const std::uint32_t width = request->flags & uapi::VFIO_DEVICE_IOEVENTFD_SIZE_MASK;
    if (request->flags != width || !std::has_single_bit(width) || request->fd < -1) {
        return refuse(EINVAL, "flags {:x} are no width, or {} is no descriptor", kSource,
                      request->flags, request->fd);
    }
    const std::uint64_t index = request->offset >> kRegionShift;
    const std::uint64_t position = request->offset & low_mask(kRegionShift);
    const std::uint64_t size = index < pci::kBars ? function_.hardware->bars()[index].bytes : 0;
    if (position + width > size) {
        return refuse(EINVAL, "{} bytes at {:x} are not in BAR {}, which has {:x}", kSource, width,
                      position, index, size);
    }
    const auto bar = static_cast<std::uint32_t>(index);
    if (const auto table = regions_.msix_table(bar);
        table && table->overlaps({position, position + width - 1})) {
        return refuse(EINVAL, "{:x} is in the MSI-X table", kSource, position);
    }
    const fs::DeferredWork::Call call(kernel_.deferred_work());
    // Looked up without the lock: putting the reference may release a file.
    const Result<Ref<fs::EventFd>> eventfd =
        request->fd < 0 ? nullptr : get_eventfd(request.task(), request->fd);
    Ref<Virqfd> ended;
    {
        const Lock lock(mutex_);
        const auto found =
            std::find_if(ioeventfds_.begin(), ioeventfds_.end(), [&](const IoEventfd& it) {
                return it.offset == request->offset && it.data == request->data &&
                       it.width == width;
            });
        if (found != ioeventfds_.end()) {
            if (request->fd != -1) {
                return refuse(EEXIST, "there is an eventfd for this store to {:x} already", kSource,
                              request->offset);
            }
            ended = std::move(found->virqfd);
            ioeventfds_.erase(found);
        } else if (request->fd < 0) {
            return refuse(ENODEV, "there is no eventfd for this store to {:x}", kSource,
                          request->offset);
        } else if (ioeventfds_.size() >= kMost) {
            return refuse(ENOSPC, "the device has {} eventfds", kSource, kMost);
        } else {
            TRY(eventfd);
            ioeventfds_.push_back({request->offset, request->data, width, {}});
            ioeventfds_.back().virqfd = Virqfd::start(
                kernel_.census(), *eventfd, [this, bar, position, width, data = request->data] {
                    // The kernel accepts any position; an unaligned store is split as a bus
                    // does it. An error has no caller to be returned to.
                    [[maybe_unused]] const auto stored = regions_.store(
                        bar, position, std::as_bytes(std::span(&data, 1)).first(width));
                });
        }
    }
    if (ended) {
        ended->stop();
    }
    return 0;
}

}  // namespace kvmiommu::vfio
