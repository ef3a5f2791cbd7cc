// SPDX-License-Identifier: MIT
//
// What a walk of a page table reads, for people.

#pragma once

#include <cstdint>

#include "mm/physical_memory.h"

namespace kvmiommu::iommu {

/// One entry on the way from the root to a page.
struct WalkStep {
    enum class Kind : std::uint8_t { nothing, table, page };

    unsigned level;      // 0 is the level of the smallest pages
    mm::PhysAddr table;  // that the entry is in
    std::uint64_t index;
    std::uint64_t entry;  // its value, whatever its byte order in memory
    Kind kind;
    mm::PhysAddr address = 0;      // of the table or of the page
    std::uint64_t page_size = 0;   // in bytes
    std::uint32_t protection = 0;  // of a page
};

}  // namespace kvmiommu::iommu
