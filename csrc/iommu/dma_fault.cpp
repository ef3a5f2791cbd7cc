// SPDX-License-Identifier: MIT

#include "iommu/dma_fault.h"

namespace kvmiommu::iommu {

const char* fault_cause_text(FaultCause cause) {
    switch (cause) {
        case FaultCause::bus_master_off:
            return "bus master off";
        case FaultCause::blocked:
            return "blocked";
        case FaultCause::not_mapped:
            return "not mapped";
        case FaultCause::not_permitted:
            return "not permitted";
        case FaultCause::no_memory:
            return "no memory";
    }
    return "?";
}

void FaultLog::record(const std::string& device, std::uint64_t iova, mm::Access access,
                      FaultCause cause) {
    const Lock lock(mutex_);
    if (faults_.size() == kMostKept) {
        faults_.pop_front();
    }
    faults_.push_back({next_++, device, iova, access, cause});
}

std::vector<DmaFault> FaultLog::faults() const {
    const Lock lock(mutex_);
    return {faults_.begin(), faults_.end()};
}

}  // namespace kvmiommu::iommu
