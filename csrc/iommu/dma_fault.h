// SPDX-License-Identifier: MIT
//
// Accesses of devices that were refused. An IOMMU keeps a few such records (VT-d: fault recording
// registers), which the kernel prints. Here they can be read.

#pragma once

#include <cstdint>
#include <deque>
#include <string>
#include <vector>

#include "base/base.h"
#include "iommu/lock_order.h"
#include "mm/address_space.h"

namespace kvmiommu::iommu {

enum class FaultCause : std::uint8_t {
    bus_master_off,  // the function may not do DMA at all (PCI_COMMAND_MASTER)
    blocked,         // the group is in the blocked domain
    not_mapped,      // no translation
    not_permitted,   // mapped, but not for this access
    no_memory,       // translated to an address that is not RAM
};

/// "not mapped" and its like.
const char* fault_cause_text(FaultCause cause);

struct DmaFault {
    std::uint64_t sequence;  // counts all faults of the machine
    std::string device;      // "0000:00:02.0"
    std::uint64_t iova;      // the first byte that could not be reached
    mm::Access access;       // what the device wanted
    FaultCause cause;
};

/// The last faults of a machine.
class FaultLog {
  public:
    static constexpr std::size_t kMostKept = 1024;

    FaultLog() = default;
    FaultLog(const FaultLog&) = delete;
    FaultLog& operator=(const FaultLog&) = delete;

    void record(const std::string& device, std::uint64_t iova, mm::Access access, FaultCause cause)
        EXCLUDES(mutex_);
    /// Those that are kept, the oldest first.
    std::vector<DmaFault> faults() const EXCLUDES(mutex_);

  private:
    mutable Mutex mutex_{lock_order::kFaults};
    std::deque<DmaFault> faults_ GUARDED_BY(mutex_);
    std::uint64_t next_ GUARDED_BY(mutex_) = 0;
};

}  // namespace kvmiommu::iommu
