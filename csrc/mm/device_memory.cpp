// SPDX-License-Identifier: MIT

#include "mm/device_memory.h"

#include <algorithm>
#include <cstdlib>

namespace kvmiommu::mm {

namespace {
constexpr Source kSource{"kvmiommu: mm/device_memory.h"};
}

DeviceMemory::DeviceMemory(PhysicalMemory& memory, std::uint64_t bytes) : memory_(memory) {
    const auto run = memory.allocate(align_up(bytes, kFrameSize) >> kFrameShift, 16);
    if (!run) {
        std::abort();  // A machine whose devices have more memory than itself.
    }
    run_ = *run;
}

DeviceMemory::~DeviceMemory() {
    if (run_.count != 0) {
        memory_.put(run_);
    }
}

std::span<std::byte> DeviceMemory::bytes() {
    return {memory_.direct(run_.slot), run_.count << kFrameShift};
}

Result<SlotRun> DeviceMemory::frames(std::uint64_t offset, std::uint64_t bytes) const {
    const std::uint64_t first = offset >> kFrameShift;
    if (first >= run_.count) {
        return refuse(EFAULT, "offset {:x} is past the end of {} frames of device memory", kSource,
                      offset, run_.count);
    }
    return SlotRun{run_.slot + first,
                   std::min(run_.count - first, align_up(bytes, kFrameSize) >> kFrameShift)};
}

}  // namespace kvmiommu::mm
