// SPDX-License-Identifier: MIT
//
// A region of a function that the processor reaches: memory or I/O ports.

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
    bool wide = false;  // 64 bits: takes the next one's register, too
    /// Stretches that are plain memory, the same for the model and for whoever maps them. All else
    /// is trapped: each access is a call of the model.
    std::vector<Range> memory;

    /// Is the page of `page_size` bytes that `offset` lies in all memory, so that it can be mapped?
    /// Any other page is trapped as a whole.
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
