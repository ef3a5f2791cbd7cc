// SPDX-License-Identifier: MIT
//
// What a device finds at an iova.

#pragma once

#include <cstdint>

#include "mm/physical_memory.h"

namespace kvmiommu::iommu {

using mm::PhysAddr;

/// What a mapping lets a device do (IOMMU_READ and its like).
enum Protection : std::uint32_t {
    kRead = 1,
    kWrite = 2,
    kCache = 4,
};

/// Where an access leads and what a device may do there.
struct Translation {
    PhysAddr address;
    std::uint32_t protection;
};

}  // namespace kvmiommu::iommu
