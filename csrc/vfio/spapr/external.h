// SPDX-License-Identifier: MIT
//
// What KVM needs of a VFIO group on POWER beside vfio/external.h, for the proposals of 2013.

#pragma once

#include "fs/file.h"
#include "spapr/hardware_table.h"

namespace kvmiommu::vfio {

/// The table of a group's default window, in a container of version 1. `file` is a group's.
/// ENODEV the group is in no container, or in one of another kind
/// and what TceContainer::default_table() says
Result<Ref<spapr::HardwareTable>> group_tce_table(fs::Task& task, fs::File& file);

}  // namespace kvmiommu::vfio
