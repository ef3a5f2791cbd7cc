// SPDX-License-Identifier: MIT
//
// An access of a device, from the translation of its address to the last byte moved.

#pragma once

#include "mm/physical_memory.h"

namespace kvmiommu::mm {

/// While one exists, frames that are freed keep their contents and are not allocated again
/// (grace_period.h).
class DmaInFlight {
  public:
    explicit DmaInFlight(PhysicalMemory& memory) : memory_(memory), number_(memory.dma_.begin()) {}
    ~DmaInFlight() {
        if (memory_.dma_.end(number_)) [[unlikely]] {
            const Lock lock(memory_.mutex_);
            memory_.free_late();
        }
    }
    DmaInFlight(const DmaInFlight&) = delete;
    DmaInFlight& operator=(const DmaInFlight&) = delete;

  private:
    PhysicalMemory& memory_;
    const unsigned number_;
};

}  // namespace kvmiommu::mm
