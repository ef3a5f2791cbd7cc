// SPDX-License-Identifier: MIT
//
// What others may ask of a VFIO file without knowing VFIO (drivers/vfio/vfio_main.c:
// vfio_file_is_valid, vfio_file_enforced_coherent, vfio_file_set_kvm, vfio_file_iommu_group). Any
// file may be asked; for one that is not VFIO's the neutral value is returned.

#pragma once

#include "fs/file.h"
#include "iommu/group.h"

namespace kvmiommu::vfio {

/// Is it an open group or device?
bool file_is_valid(fs::File& file);
/// Can all its DMA be made to snoop the caches? True for files that are not VFIO's.
bool file_enforced_coherent(fs::File& file);
/// The virtual machine that its devices are to serve from their next open on; null: none. The
/// caller keeps `kvm` alive until it says null.
void file_set_kvm(fs::File& file, RefCounted* kvm);

/// One more user of a group from outside, who keeps it in its container: EINVAL not a group, in no
/// container, or in one without a driver; EPERM a group without an IOMMU. The caller holds the file
/// until it says put. (vfio_group_get_external_user, as it was from 3.12 to 5.18)
Result<> group_get_external_user(fs::File& file);
void group_put_external_user(fs::File& file);
/// The IOMMU group that it opens; null for everything but a group (vfio_file_iommu_group).
iommu::Group* file_iommu_group(fs::File& file);

}  // namespace kvmiommu::vfio
