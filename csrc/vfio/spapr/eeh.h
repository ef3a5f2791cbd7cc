// SPDX-License-Identifier: MIT
//
// Enhanced Error Handling: a bridge that freezes an endpoint after an error, and what a user may
// ask of it (VFIO_EEH_PE_OP; drivers/vfio/vfio_iommu_spapr_tce.c: vfio_spapr_ioctl_eeh_pe_op).

#pragma once

#include <cstdint>

#include "base/base.h"
#include "fs/task.h"
#include "iommu/group.h"

namespace kvmiommu::vfio {

/// One operation on a group's endpoint. ENODEV the platform has none; EFAULT; EINVAL a short argsz,
/// flags, no such operation; for an error to be injected EINVAL or ERANGE what cannot be, EIO the
/// firmware refuses. The bridges modelled never freeze, so the state is always "normal".
Result<std::int64_t> eeh_pe_op(fs::Task& task, const iommu::Group& group, std::uint64_t argument);

}  // namespace kvmiommu::vfio
