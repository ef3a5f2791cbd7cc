// SPDX-License-Identifier: MIT

#include "vfio/external.h"

#include "vfio/device_file.h"
#include "vfio/group.h"

namespace kvmiommu::vfio {

namespace {
constexpr Source kGetUser{"drivers/vfio/vfio.c: vfio_group_get_external_user"};
}  // namespace

// A device's file is valid too, even when it was opened through its group.
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

// A device that was opened through its group got the virtual machine at its open.
void file_set_kvm(fs::File& file, RefCounted* kvm) {
    if (auto* const group = dynamic_cast<GroupFile*>(&file)) {
        group->group().set_kvm(kvm);
    }
}

Result<> group_get_external_user(fs::File& file) {
    auto* const group = dynamic_cast<GroupFile*>(&file);
    if (group == nullptr) {
        return refuse(EINVAL, "the file is no VFIO group", kGetUser);
    }
    return group->group().get_external_user();
}

void group_put_external_user(fs::File& file) {
    dynamic_cast<GroupFile&>(file).group().put_external_user();
}

iommu::Group* file_iommu_group(fs::File& file) {
    auto* const group = dynamic_cast<GroupFile*>(&file);
    return group != nullptr ? &group->group().iommu_group() : nullptr;
}

}  // namespace kvmiommu::vfio
