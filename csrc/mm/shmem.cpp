// SPDX-License-Identifier: MIT

#include "mm/shmem.h"

#include <cstring>
#include <iterator>

namespace kvmiommu::mm {

namespace {
constexpr Source kSource{"mm/shmem.c: shmem_fault"};
}

Shmem::Shmem(Census& census, PhysicalMemory& memory, std::uint64_t page_size, std::uint64_t size)
    : Backing(census, "shmem"), memory_(memory), page_size_(page_size), size_(size) {}

Shmem::~Shmem() {
    const Lock lock(mutex_);
    for (const auto& [offset, run] : pages_) {
        memory_.put(run);
    }
    for (const SlotRun& run : cut_off_) {
        memory_.put(run);
    }
}

std::uint64_t Shmem::size() const {
    const Lock lock(mutex_);
    return size_;
}

void Shmem::resize(std::uint64_t size) {
    const Lock lock(mutex_);
    if (size < size_) {
        const std::uint64_t keep = align_up(size, page_size_) >> kFrameShift;
        auto at = pages_.upper_bound(keep);
        if (at != pages_.begin()) {
            auto before = std::prev(at);
            SlotRun& run = before->second;
            if (before->first + run.count > keep) {
                const std::uint64_t stays = keep - before->first;
                cut_off_.push_back({run.slot + stays, run.count - stays});
                run.count = stays;
                if (stays == 0) {
                    pages_.erase(before);
                }
            }
        }
        for (; at != pages_.end(); at = pages_.erase(at)) {
            cut_off_.push_back(at->second);
        }
        // The rest of the page that stays must read as zero when the file grows again.
        if (const std::uint64_t used = size % page_size_; used != 0) {
            const std::uint64_t first = align_down(size, page_size_) >> kFrameShift;
            const auto page = pages_.upper_bound(first);
            if (page != pages_.begin() &&
                std::prev(page)->first + std::prev(page)->second.count > first) {
                const auto& [offset, run] = *std::prev(page);
                std::memset(memory_.direct(run.slot + (first - offset)) + used, 0,
                            page_size_ - used);
            }
        }
    }
    size_ = size;
    // One reference is the file's own: then there is no mapping that could still show them.
    if (references() == 1) {
        for (const SlotRun& run : cut_off_) {
            memory_.put(run);
        }
        cut_off_.clear();
    }
}

Result<SlotRun> Shmem::frames(std::uint64_t offset, std::uint64_t bytes) {
    const Lock lock(mutex_);
    if (offset >= align_up(size_, page_size_)) {
        return refuse(EFAULT, "offset {:x} is past the end of a file of {:x} bytes", kSource,
                      offset, size_);
    }
    const std::uint64_t end = std::min(offset + bytes, align_up(size_, page_size_));
    return frames_at(offset >> kFrameShift, (end - offset) >> kFrameShift);
}

Result<SlotRun> Shmem::frames_at(std::uint64_t first, std::uint64_t count) {
    const auto after = pages_.upper_bound(first);
    if (after != pages_.begin()) {
        const auto& [offset, run] = *std::prev(after);
        if (offset + run.count > first) {
            const std::uint64_t skip = first - offset;
            return SlotRun{run.slot + skip, std::min(count, run.count - skip)};
        }
    }
    // A hole: filled in one piece as far as it goes, so that memory which is mapped at once is
    // contiguous.
    if (after != pages_.end()) {
        count = std::min(count, after->first - first);
    }
    const SlotRun run = TRY(memory_.allocate_up_to(count, page_size_ >> kFrameShift));
    pages_.emplace(first, run);
    return run;
}

}  // namespace kvmiommu::mm
