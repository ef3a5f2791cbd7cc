// SPDX-License-Identifier: MIT
//
// The models that come with this program, by the names that machines call them.

#pragma once

#include <memory>
#include <string_view>

#include "pci/device_model.h"

namespace kvmiommu::pci {

/// A new device of a model; null for a name that is not known. "host" is no model: nobody but the
/// host's own drivers looks at such a function.
std::unique_ptr<DeviceModel> make_model(std::string_view name);

}  // namespace kvmiommu::pci
