// SPDX-License-Identifier: MIT

#include "vfio/device.h"

#include "vfio/group.h"

namespace kvmiommu::vfio {

Device::Device(Group& group, const pci::Function& function) : group_(group), function_(function) {}

bool Device::enforced_coherent() const {
    return function_.device != nullptr && function_.device->instance().enforces_cache_coherency;
}

Result<Ref<fs::File>> Device::open(fs::Task& task) {
    TRY(group_.open_device(task, *this));
    return make<DeviceFile>(*this);
}

DeviceFile::DeviceFile(Device& device)
    : File(device.group().kernel(), "vfio-device", O_RDWR, true), device_(device) {}

DeviceFile::~DeviceFile() {
    device_.group().close_device(device_);
}

}  // namespace kvmiommu::vfio
