// SPDX-License-Identifier: MIT
//
// The IOMMU drivers, by the names that a description uses.

#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "iommu/ops.h"
#include "mm/physical_memory.h"

namespace kvmiommu::machine {

/// A driver with its tables in `memory`, for a kernel with pages of `page_size` bytes; null for an
/// unknown name.
std::unique_ptr<iommu::Ops> make_iommu_driver(const std::string& name, Census& census,
                                              mm::PhysicalMemory& memory, std::uint64_t page_size);

}  // namespace kvmiommu::machine
