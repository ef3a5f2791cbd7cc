// SPDX-License-Identifier: MIT

#include "mm/device_memory.h"

#include <algorithm>

namespace kvmiommu::mm {

namespace {
constexpr Source kSource{"kvmiommu: mm/device_memory.h"};
// In frames: 64 KiB, so that pages of that size are aligned.
constexpr std::uint64_t kAlignment = 16;
}  // namespace

Result<DeviceMemory> DeviceMemory::create(PhysicalMemory& memory, std::uint64_t bytes) {
    if (bytes == 0 || bytes > memory.bytes()) {
        return refuse(ENOMEM, "a device with {:x} bytes of memory in a machine with {:x}", kSource,
                      bytes, memory.bytes());
    }
    const SlotRun run =
        TRY(memory.allocate(align_up(bytes, kFrameSize) >> kFrameShift, kAlignment));
    return DeviceMemory(memory, HeldFrames(memory, run));
}

Result<HeldFrames> DeviceMemory::frames(std::uint64_t offset, std::uint64_t bytes) const {
    const std::uint64_t first = offset >> kFrameShift;
    if (first >= held_.count()) {
        return refuse(EFAULT, "offset {:x} is past the end of {} frames of device memory", kSource,
                      offset, held_.count());
    }
    const std::uint64_t wanted = std::min(bytes, held_.bytes() - (first << kFrameShift));
    return HeldFrames::get(*memory_,
                           {held_.slot() + first, align_up(wanted, kFrameSize) >> kFrameShift});
}

}  // namespace kvmiommu::mm
