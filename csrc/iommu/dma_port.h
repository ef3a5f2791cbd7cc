// SPDX-License-Identifier: MIT
//
// What a device does DMA through. An access is cut where translations and frames end; each piece is
// translated by the domain that the device's group is in at that moment, with its rights. What does
// not get through is a fault, which is recorded and returned.

#pragma once

#include <cstddef>
#include <cstdint>
#include <expected>
#include <span>
#include <string>
#include <utility>

#include "base/base.h"
#include "iommu/dma_fault.h"
#include "iommu/group.h"
#include "mm/physical_memory.h"

namespace kvmiommu::iommu {

class DmaPort {
  public:
    /// `group` is null for a device without an IOMMU: its iovas are physical addresses.
    DmaPort(std::string device, const Group* group, mm::PhysicalMemory& memory, FaultLog& faults)
        : device_(std::move(device)), group_(group), memory_(memory), faults_(faults) {}
    DmaPort(const DmaPort&) = delete;
    DmaPort& operator=(const DmaPort&) = delete;

    /// The device reads or writes memory. A fault is recorded for the first byte that cannot be
    /// reached; what lies before it has been moved.
    /// EFAULT a fault
    Result<> read(std::uint64_t iova, std::span<std::byte> to);
    Result<> write(std::uint64_t iova, std::span<const std::byte> from);

    /// Records a fault of this device and returns it.
    std::unexpected<Refusal> fault(std::uint64_t iova, mm::Access access, FaultCause cause);

  private:
    // move(target, done, step) moves `step` bytes of the access, from its byte `done` on.
    template <class Move>
    Result<> transfer(std::uint64_t iova, std::size_t bytes, mm::Access access, Move&& move);

    const std::string device_;
    const Group* const group_;
    mm::PhysicalMemory& memory_;
    FaultLog& faults_;
};

}  // namespace kvmiommu::iommu
