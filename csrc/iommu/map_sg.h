// SPDX-License-Identifier: MIT
//
// Mapping pieces of memory one behind the other (drivers/iommu/iommu.c: iommu_map_sg).

#pragma once

#include <cstdint>
#include <span>

#include "iommu/map.h"
#include "mm/physical_memory.h"

namespace kvmiommu::iommu {

/// Maps the pieces to [iova, iova + the sum of their bytes), pieces that follow each other in
/// memory as one. Answers that sum. A refused call leaves nothing mapped; what it is refused with
/// is as for map().
Result<std::uint64_t> map_sg(Domain& domain, std::uint64_t iova,
                             std::span<const mm::PhysicalRun> pieces, std::uint32_t protection,
                             FaultPoints& faults);

}  // namespace kvmiommu::iommu
