// SPDX-License-Identifier: MIT
//
// VFIO_DEVICE_PCI_HOT_RESET: resets a whole bus, if the caller owns all functions of it.
// Rules: drivers/vfio/pci/vfio_pci_core.c: vfio_pci_ioctl_get_pci_hot_reset_info,
// vfio_pci_ioctl_pci_hot_reset.

#include <algorithm>

#include "fs/task.h"
#include "vfio/device.h"
#include "vfio/group.h"
#include "vfio/pci/pci_device.h"

namespace kvmiommu::vfio {

namespace {

constexpr Source kInfo{"drivers/vfio/pci/vfio_pci_core.c: vfio_pci_ioctl_get_pci_hot_reset_info"};
constexpr Source kReset{"drivers/vfio/pci/vfio_pci_core.c: vfio_pci_ioctl_pci_hot_reset"};
constexpr Source kOwned{"drivers/vfio/pci/vfio_pci_core.c: vfio_pci_dev_set_hot_reset"};

using namespace uapi;

}  // namespace

// A bus is reset by the bridge above it.
Result<> PciDevice::check_hot_reset() const {
    if (function_.on_root_bus()) {
        return refuse(ENODEV, "nothing can reset the root bus", kReset);
    }
    return {};
}

Result<std::int64_t> PciDevice::get_hot_reset_info(fs::Block<vfio_pci_hot_reset_info> info) {
    TRY(check_hot_reset());
    info->flags = 0;
    const std::uint64_t room =
        (info->argsz - sizeof(vfio_pci_hot_reset_info)) / sizeof(vfio_pci_dependent_device);
    const auto count = static_cast<std::uint32_t>(function_.bus.size());
    if (count > room) {
        info->count = count;
        // The count is written although the call fails.
        TRY(info.respond());
        return refuse(ENOSPC, "{} functions on the bus, room for {}", kInfo, count, room);
    }
    std::vector<vfio_pci_dependent_device> devices;
    for (const pci::Function* const function : function_.bus) {
        if (function->group == nullptr) {
            return refuse(EPERM, "a function on the bus has no IOMMU group", kInfo);
        }
        vfio_pci_dependent_device device{};
        device.group_id = function->group->id();
        device.segment = function->location.segment;
        device.bus = function->location.bus;
        device.devfn = function->location.devfn;
        devices.push_back(device);
    }
    TRY(info.task().mm().copy_to_user(info.user().address() + sizeof(vfio_pci_hot_reset_info),
                                      devices.data(), devices.size() * sizeof devices.front()));
    info->count = count;
    return 0;
}

Result<std::int64_t> PciDevice::hot_reset(fs::Block<vfio_pci_hot_reset> request) {
    if (request->flags != 0 || request->count == 0) {
        return refuse(EINVAL, "flags {:x}, {} groups: a device of a group needs them named", kReset,
                      request->flags, request->count);
    }
    TRY(check_hot_reset());
    if (request->count > function_.bus.size()) {
        return refuse(EINVAL, "{} groups for {} functions", kReset, request->count,
                      function_.bus.size());
    }
    std::vector<std::int32_t> fds(request->count);
    TRY(request.task().mm().copy_from_user(fds.data(),
                                           request.user().address() + sizeof(vfio_pci_hot_reset),
                                           fds.size() * sizeof fds.front()));
    std::vector<Ref<fs::File>> files;
    std::vector<const iommu::Group*> groups;
    for (const std::int32_t fd : fds) {
        files.push_back(TRY(request.task().files().get(fd)));
        auto* const file = dynamic_cast<GroupFile*>(files.back().get());
        if (file == nullptr) {
            return refuse(EINVAL, "descriptor {} is not a group", kReset, fd);
        }
        groups.push_back(&file->group().iommu_group());
    }
    // With the turn no device of the bus is opened or closed until the reset is done.
    const DeviceSet::Turn turn = TRY(device().device_set().begin(request.task()));
    for (const pci::Function* const function : function_.bus) {
        if (function->driver != "vfio-pci") {
            return refuse(EINVAL, "a function on the bus is not bound to vfio-pci", kOwned);
        }
        if (std::find(groups.begin(), groups.end(), function->group) == groups.end()) {
            return refuse(EINVAL, "a function on the bus is in none of the {} groups", kOwned,
                          groups.size());
        }
    }
    for (const pci::Function* const function : function_.bus) {
        function->reset();
    }
    return 0;
}

}  // namespace kvmiommu::vfio
