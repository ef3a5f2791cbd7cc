// SPDX-License-Identifier: MIT
//
// Mapping pieces of memory to consecutive iovas (drivers/iommu/iommu.c: iommu_map_sg).

#pragma once

#include <cstdint>
#include <span>

#include "iommu/map.h"
#include "mm/physical_memory.h"

namespace kvmiommu::iommu {

/// Maps the pieces from `iova` on, those that are contiguous in memory as one, and returns the sum
/// of their bytes; refused, nothing of it stays mapped. As map()
Result<std::uint64_t> map_sg(Domain& domain, std::uint64_t iova,
                             std::span<const mm::PhysicalRun> pieces, std::uint32_t protection,
                             FaultPoints& faults);

}  // namespace kvmiommu::iommu
