// SPDX-License-Identifier: MIT
//
// Memory on a device, such as a frame buffer behind a BAR. It lies in the RAM file so that
// processes can map it, but it is not RAM: nobody pins it. It is charged to nobody and lives as
// long as its device.

#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>

#include "base/base.h"
#include "mm/physical_memory.h"

namespace kvmiommu::mm {

class DeviceMemory {
  public:
    /// Zeroed memory of `bytes`, rounded up to frames. RAM that is out is the machine's fault.
    DeviceMemory(PhysicalMemory& memory, std::uint64_t bytes);
    ~DeviceMemory();
    DeviceMemory(DeviceMemory&& other) noexcept
        : memory_(other.memory_), run_(std::exchange(other.run_, SlotRun{0, 0})) {}
    DeviceMemory& operator=(DeviceMemory&&) = delete;

    std::span<std::byte> bytes();
    /// The frames from `offset` on, at most `bytes` of them. EFAULT past the end.
    Result<SlotRun> frames(std::uint64_t offset, std::uint64_t bytes) const;

  private:
    PhysicalMemory& memory_;
    SlotRun run_;
};

}  // namespace kvmiommu::mm
