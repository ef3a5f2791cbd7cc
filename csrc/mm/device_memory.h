// SPDX-License-Identifier: MIT
//
// Memory of a device, such as a frame buffer behind a BAR. It is allocated from the RAM file so
// that processes can map it, but it is not RAM: it is neither pinned nor charged, and is freed with
// its device.

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
    /// Zeroed memory of `bytes`, rounded up to frames.
    /// ENOMEM the machine has no such contiguous RAM
    static Result<DeviceMemory> create(PhysicalMemory& memory, std::uint64_t bytes);

    std::span<std::byte> bytes() { return {held_.data(), held_.bytes()}; }
    /// The frames from `offset` on, at most `bytes` bytes.
    /// EFAULT `offset` is past the end
    Result<HeldFrames> frames(std::uint64_t offset, std::uint64_t bytes) const;

  private:
    DeviceMemory(PhysicalMemory& memory, HeldFrames held)
        : memory_(&memory), held_(std::move(held)) {}

    PhysicalMemory* memory_;
    HeldFrames held_;
};

}  // namespace kvmiommu::mm
