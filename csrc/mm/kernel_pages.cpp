// SPDX-License-Identifier: MIT

#include "mm/kernel_pages.h"

namespace kvmiommu::mm {

namespace {
constexpr Source kSource{"kvmiommu: mm/kernel_pages.h"};
}

KernelPages::KernelPages(Census& census, const char* kind, PhysicalMemory& memory,
                         std::uint64_t page_size, std::uint64_t count)
    : Backing(census, kind),
      memory_(memory),
      page_size_(page_size),
      count_(count),
      slots_(std::make_unique<std::atomic<std::uint64_t>[]>(count)) {}

KernelPages::~KernelPages() {
    for (std::uint64_t index = 0; index < count_; ++index) {
        if (const std::uint64_t slot = slots_[index].load(std::memory_order_relaxed); slot != 0) {
            memory_.put({slot - 1, page_size_ >> kFrameShift});
        }
    }
}

Result<std::byte*> KernelPages::make_page(std::uint64_t index) {
    const Lock lock(mutex_);
    if (std::byte* const there = page(index)) {
        return there;
    }
    const std::uint64_t frames = page_size_ >> kFrameShift;
    const SlotRun run = TRY(memory_.allocate(frames, frames));
    begin(index, memory_.direct(run.slot));
    slots_[index].store(run.slot + 1, std::memory_order_release);
    return memory_.direct(run.slot);
}

Result<HeldFrames> KernelPages::frames(std::uint64_t offset, std::uint64_t bytes) {
    const std::uint64_t index = offset / page_size_;
    if (index >= count_) {
        return refuse(EFAULT, "offset {:x} is past the end of {} pages", kSource, offset, count_);
    }
    TRY(make_page(index));
    const std::uint64_t into = offset % page_size_;
    return HeldFrames::get(
        memory_, {slots_[index].load(std::memory_order_relaxed) - 1 + (into >> kFrameShift),
                  std::min(bytes, page_size_ - into) >> kFrameShift});
}

}  // namespace kvmiommu::mm
