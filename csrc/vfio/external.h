// SPDX-License-Identifier: MIT
//
// What other modules may do with a VFIO file without including VFIO (drivers/vfio/vfio_main.c:
// vfio_file_is_valid, vfio_file_enforced_coherent, vfio_file_set_kvm, vfio_file_iommu_group). Any
// file may be passed; a file that is not VFIO's gets the neutral value.

#pragma once

#include "fs/file.h"
#include "iommu/group.h"

namespace kvmiommu::vfio {

/// Is it an open group or device?
bool file_is_valid(fs::File& file);
/// Can all its DMA be made to snoop the caches? True for files that are not VFIO's.
bool file_enforced_coherent(fs::File& file);
/// The virtual machine that its devices serve from their next open on; null: none. The caller
/// keeps `kvm` alive until it sets null. Only a group's file keeps it.
void file_set_kvm(fs::File& file, RefCounted* kvm);

/// One more external user of a group, which stays in its container until the user is put. The
/// caller holds the file as long. (vfio_group_get_external_user, as it was from 3.12 to 5.18)
/// EINVAL the file is not a group
/// and what Group::get_external_user() says
Result<> group_get_external_user(fs::File& file);
void group_put_external_user(fs::File& file);
/// The IOMMU group that it opens; null for everything but a group (vfio_file_iommu_group).
iommu::Group* file_iommu_group(fs::File& file);

}  // namespace kvmiommu::vfio
