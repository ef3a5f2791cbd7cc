// SPDX-License-Identifier: MIT
//
// What a device finds at an iova.

#pragma once

#include <cstdint>

#include "base/range.h"
#include "mm/physical_memory.h"

namespace kvmiommu::iommu {

using mm::PhysAddr;

/// What a mapping lets a device do (IOMMU_READ and its like).
enum Protection : std::uint32_t {
    kRead = 1,
    kWrite = 2,
    kCache = 4,
};

/// Where an access leads, what a device may do there, and how far that is true.
struct Translation {
    PhysAddr address;
    std::uint32_t protection;
    /// The iovas that the same leaf translates, the one that was asked for among them.
    Range leaf;

    /// The bytes from `iova`, one of the leaf's, to the leaf's end.
    std::uint64_t bytes_from(std::uint64_t iova) const {
        const std::uint64_t behind = leaf.last - iova;
        return behind == ~std::uint64_t{0} ? behind : behind + 1;
    }
};

}  // namespace kvmiommu::iommu
