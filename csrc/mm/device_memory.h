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
#include "mm/held_frames.h"
#include "mm/physical_memory.h"

namespace kvmiommu::mm {

class DeviceMemory {
  public:
    /// Zeroed memory of `bytes`, rounded up to frames. ENOMEM: the machine has less RAM than that
    /// in one piece.
    static Result<DeviceMemory> create(PhysicalMemory& memory, std::uint64_t bytes);

    std::span<std::byte> bytes() { return {held_.data(), held_.bytes()}; }
    /// The frames from `offset` on, at most `bytes` of them. EFAULT past the end.
    Result<HeldFrames> frames(std::uint64_t offset, std::uint64_t bytes) const;

  private:
    DeviceMemory(PhysicalMemory& memory, HeldFrames held)
        : memory_(&memory), held_(std::move(held)) {}

    PhysicalMemory* memory_;
    HeldFrames held_;
};

}  // namespace kvmiommu::mm
