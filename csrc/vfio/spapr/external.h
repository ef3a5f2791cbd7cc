// SPDX-License-Identifier: MIT
//
// What KVM asks of a VFIO group on POWER beside the questions of vfio/external.h.

#pragma once

#include "fs/file.h"
#include "spapr/hardware_table.h"

namespace kvmiommu::vfio {

/// The table of a group's default window, where its pages are held entry by entry. `file` is a
/// group's.
///
/// ENODEV  the group is in a container of another kind, or has no windows
Result<Ref<spapr::HardwareTable>> group_tce_table(fs::Task& task, fs::File& file);

}  // namespace kvmiommu::vfio
