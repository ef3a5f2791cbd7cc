// SPDX-License-Identifier: MIT

#include "vfio/external.h"

#include "vfio/group.h"

namespace kvmiommu::vfio {

// A device's descriptor counts as well as its group's, also one that came from the group.
bool file_is_valid(fs::File& file) {
    return dynamic_cast<GroupFile*>(&file) != nullptr ||
           dynamic_cast<DeviceFile*>(&file) != nullptr;
}

bool file_enforced_coherent(fs::File& file) {
    if (const auto* const group = dynamic_cast<GroupFile*>(&file)) {
        return group->group().enforced_coherent();
    }
    if (const auto* const device = dynamic_cast<DeviceFile*>(&file)) {
        return device->device().enforced_coherent();
    }
    return true;
}

// A device that was opened through its group was told of the virtual machine then.
void file_set_kvm(fs::File& file, RefCounted* kvm) {
    if (auto* const group = dynamic_cast<GroupFile*>(&file)) {
        group->group().set_kvm(kvm);
    }
}

iommu::Group* file_iommu_group(fs::File& file) {
    auto* const group = dynamic_cast<GroupFile*>(&file);
    return group != nullptr ? &group->group().iommu_group() : nullptr;
}

}  // namespace kvmiommu::vfio
