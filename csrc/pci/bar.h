// SPDX-License-Identifier: MIT
//
// A base address register: a region of memory or I/O ports (PCI Local Bus Specification 3.0,
// section 6.2.5).

#pragma once

#include <cstdint>
#include <vector>

#include "base/bits.h"
#include "base/range.h"

namespace kvmiommu::pci {

struct Bar {
    enum class Kind : std::uint8_t { memory, io };

    std::uint64_t bytes = 0;  // a power of two; 0: there is none
    Kind kind = Kind::memory;
    bool prefetchable = false;
    bool wide = false;  // 64 bits: uses the next BAR's register too
    /// Ranges that are plain memory, shared by the model and mappings. The rest is trapped: each
    /// access is a call of the model.
    std::vector<Range> memory;

    /// Is the page of `page_size` bytes at `offset` all memory, so that it can be mapped? Any other
    /// page is trapped as a whole.
    bool is_memory(std::uint64_t offset, std::uint64_t page_size) const {
        const std::uint64_t start = align_down(offset, page_size);
        for (const Range& range : memory) {
            if (range.contains(Range{start, start + page_size - 1})) {
                return true;
            }
        }
        return false;
    }
};

}  // namespace kvmiommu::pci
