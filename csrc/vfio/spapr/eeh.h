// SPDX-License-Identifier: MIT
//
// Enhanced Error Handling: a bridge freezes an endpoint after an error, and the user recovers it
// with VFIO_EEH_PE_OP (drivers/vfio/vfio_iommu_spapr_tce.c: vfio_spapr_ioctl_eeh_pe_op).

#pragma once

#include <cstdint>

#include "base/base.h"
#include "fs/task.h"
#include "iommu/group.h"

namespace kvmiommu::vfio {

/// One operation on a group's endpoint. The bridges modelled here never freeze, so the state is
/// always "normal".
/// ENODEV the platform has no error handling
/// EFAULT the operation cannot be read
/// EINVAL argsz has no room for an operation
/// EINVAL flags are set
/// EINVAL the operation is unknown
/// EINVAL inject: argsz has no room for the error
/// EFAULT inject: the error cannot be read
/// EINVAL inject: the function is unknown
/// ERANGE inject: the type is unknown
/// EIO inject: the firmware never injects errors
Result<std::int64_t> eeh_pe_op(fs::Task& task, const iommu::Group& group, std::uint64_t argument);

}  // namespace kvmiommu::vfio
