// SPDX-License-Identifier: MIT
//
// The functions of VFIO that KVM calls. The kernel looks them up by name at each call and works
// without them (virt/kvm/vfio.c: symbol_get); here the machine fills them in.

#pragma once

#include "fs/file.h"
#include "iommu/group.h"
#include "spapr/hardware_table.h"

namespace kvmiommu::kvm {

struct VfioSymbols {
    bool (*file_is_valid)(fs::File& file);
    bool (*file_enforced_coherent)(fs::File& file);
    void (*file_set_kvm)(fs::File& file, RefCounted* kvm);
    iommu::Group* (*file_iommu_group)(fs::File& file);
    // For the proposals of 2013.
    Result<> (*group_get_external_user)(fs::File& file);
    void (*group_put_external_user)(fs::File& file);
    Result<Ref<spapr::HardwareTable>> (*group_tce_table)(fs::Task& task, fs::File& file);
};

}  // namespace kvmiommu::kvm
