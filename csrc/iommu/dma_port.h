// SPDX-License-Identifier: MIT
//
// What a device does DMA through. Each 4 KiB of an access is translated by the domain that the
// device's group is in at that moment, with its rights; what does not get through is a fault that
// is recorded and answered.

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

    /// The device reads or writes memory. EFAULT, recorded, at the first byte that it cannot reach;
    /// what lies before it has been moved.
    Result<> read(std::uint64_t iova, std::span<std::byte> to);
    Result<> write(std::uint64_t iova, std::span<const std::byte> from);

    /// Records and answers a fault of this device.
    std::unexpected<Refusal> fault(std::uint64_t iova, mm::Access access, FaultCause cause);

  private:
    template <class Move>
    Result<> transfer(std::uint64_t iova, std::size_t bytes, mm::Access access, Move&& move);

    const std::string device_;
    const Group* const group_;
    mm::PhysicalMemory& memory_;
    FaultLog& faults_;
};

}  // namespace kvmiommu::iommu
