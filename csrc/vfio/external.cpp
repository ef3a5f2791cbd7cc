// SPDX-License-Identifier: MIT

#include "vfio/external.h"

#include "vfio/group.h"

namespace kvmiommu::vfio {

bool file_is_valid(fs::File& file) { return dynamic_cast<GroupFile*>(&file) != nullptr; }

bool file_enforced_coherent(fs::File& file) {
    auto* const group = dynamic_cast<GroupFile*>(&file);
    return group == nullptr || group->group().enforced_coherent();
}

void file_set_kvm(fs::File& file, RefCounted* kvm) {
    if (auto* const group = dynamic_cast<GroupFile*>(&file)) {
        group->group().set_kvm(kvm);
    }
}

}  // namespace kvmiommu::vfio
