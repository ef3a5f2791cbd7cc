// SPDX-License-Identifier: MIT
//
// The built-in device models, by the names that a machine's description uses.

#pragma once

#include <memory>
#include <string_view>

#include "pci/device_model.h"

namespace kvmiommu::pci {

/// A new device of a model; null for an unknown name. "host" is not a model: only the host's own
/// drivers use such a function.
std::unique_ptr<DeviceModel> make_model(std::string_view name);

}  // namespace kvmiommu::pci
