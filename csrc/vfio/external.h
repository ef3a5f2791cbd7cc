// SPDX-License-Identifier: MIT
//
// What others may ask of a VFIO file without knowing VFIO (drivers/vfio/vfio_main.c:
// vfio_file_is_valid, vfio_file_enforced_coherent, vfio_file_set_kvm). Any file may be asked; one
// that is not VFIO's gets the neutral answer.

#pragma once

#include "fs/file.h"

namespace kvmiommu::vfio {

/// Is it an open group or device?
bool file_is_valid(fs::File& file);
/// Can all its DMA be made to snoop the caches? True for files that are not VFIO's.
bool file_enforced_coherent(fs::File& file);
/// The virtual machine that its devices are to serve from their next open on; null: none. The
/// caller keeps `kvm` alive until it says null.
void file_set_kvm(fs::File& file, RefCounted* kvm);

}  // namespace kvmiommu::vfio
