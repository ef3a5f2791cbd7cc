// SPDX-License-Identifier: MIT
//
// The name of a PCI device as VFIO_GROUP_GET_DEVICE_FD takes it: the function's address, then
// options behind blanks. The one option is "vf_token=" with a UUID, for the functions of SR-IOV.
// Rules: drivers/vfio/pci/vfio_pci_core.c: vfio_pci_core_match; lib/uuid.c: uuid_parse.

#pragma once

#include <string_view>

#include "base/base.h"

namespace kvmiommu::vfio {

/// Is `name` that of the function at `address`, "0000:00:02.0"? No function here is a physical or a
/// virtual function of SR-IOV, so none takes a token.
/// EINVAL an option behind the address is unknown, or given twice
/// EINVAL a token that does not begin with a UUID
/// EINVAL a token for a function that has none
Result<bool> match_pci_name(std::string_view address, std::string_view name);

}  // namespace kvmiommu::vfio
