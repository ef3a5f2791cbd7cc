// SPDX-License-Identifier: MIT
//
// A region of a function that the processor reaches: memory or I/O ports.

#pragma once

#include <cstdint>
#include <vector>

#include "base/range.h"

namespace kvmiommu::pci {

struct Bar {
    enum class Kind : std::uint8_t { memory, io };

    std::uint64_t bytes = 0;  // a power of two; 0: there is none
    Kind kind = Kind::memory;
    bool prefetchable = false;
    bool wide = false;  // 64 bits: takes the next one's register, too
    /// Stretches of whole pages that are plain memory, the same for the model and for whoever maps
    /// them. Every other page is trapped: each access is a call of the model.
    std::vector<Range> memory;

    bool is_memory(std::uint64_t offset) const {
        for (const Range& range : memory) {
            if (range.contains(offset)) {
                return true;
            }
        }
        return false;
    }
};

}  // namespace kvmiommu::pci
