// SPDX-License-Identifier: MIT

#include "mm/shmem.h"

#include <algorithm>
#include <iterator>

#include "mm/shared_bytes.h"

namespace kvmiommu::mm {

namespace {
constexpr Source kSource{"mm/shmem.c: shmem_fault"};
}

Shmem::Shmem(Census& census, PhysicalMemory& memory, std::uint64_t page_size, std::uint64_t size)
    : Backing(census, "shmem"), memory_(memory), page_size_(page_size), size_(size) {}

std::uint64_t Shmem::size() const {
    const Lock lock(mutex_);
    return size_;
}

void Shmem::resize(std::uint64_t size) {
    const Lock lock(mutex_);
    const std::uint64_t keep = align_up(size, page_size_) >> kFrameShift;
    auto at = pages_.lower_bound(keep);
    if (at != pages_.begin()) {
        auto& [offset, frames] = *std::prev(at);
        frames.trim(keep - offset);
    }
    pages_.erase(at, pages_.end());
    // The rest of the last page must read as zero if the file is extended again.
    if (const std::uint64_t used = size % page_size_; size < size_ && used != 0) {
        const std::uint64_t first = align_down(size, page_size_) >> kFrameShift;
        const auto page = pages_.upper_bound(first);
        if (page != pages_.begin() &&
            std::prev(page)->first + std::prev(page)->second.count() > first) {
            const auto& [offset, frames] = *std::prev(page);
            clear_shared(frames.data() + ((first - offset) << kFrameShift) + used,
                         page_size_ - used);
        }
    }
    size_ = size;
}

void Shmem::extend(std::uint64_t size) {
    const Lock lock(mutex_);
    size_ = std::max(size_, size);
}

Result<HeldFrames> Shmem::frames(std::uint64_t offset, std::uint64_t bytes) {
    const Lock lock(mutex_);
    const std::uint64_t end = align_up(size_, page_size_);
    if (offset >= end) {
        return refuse(EFAULT, "offset {:x} is past the end of a file of {:x} bytes", kSource,
                      offset, size_);
    }
    return frames_at(offset >> kFrameShift, std::min(bytes, end - offset) >> kFrameShift);
}

Result<HeldFrames> Shmem::page_to_write(std::uint64_t offset) {
    const Lock lock(mutex_);
    return frames_at(offset >> kFrameShift, page_size_ >> kFrameShift);
}

Result<HeldFrames> Shmem::frames_at(std::uint64_t first, std::uint64_t count) {
    const auto after = pages_.upper_bound(first);
    if (after != pages_.begin()) {
        const auto& [offset, frames] = *std::prev(after);
        if (offset + frames.count() > first) {
            const std::uint64_t skip = first - offset;
            return HeldFrames::get(memory_,
                                   {frames.slot() + skip, std::min(count, frames.count() - skip)});
        }
    }
    // A hole: allocated as one run if possible, so that memory that is mapped at once is
    // contiguous.
    if (after != pages_.end()) {
        count = std::min(count, after->first - first);
    }
    const SlotRun run = TRY(memory_.allocate_up_to(count, page_size_ >> kFrameShift));
    pages_.emplace(first, HeldFrames(memory_, run));
    return HeldFrames::get(memory_, run);
}

}  // namespace kvmiommu::mm
