// SPDX-License-Identifier: MIT
//
// Pages of a memfd or of shared anonymous memory (mm/shmem.c). They come into being when they
// are first mapped, read or written, and go with the file.

#pragma once

#include <cstdint>
#include <map>
#include <vector>

#include "mm/backing.h"

namespace kvmiommu::mm {

class Shmem final : public Backing {
  public:
    /// Memory of `size` bytes, all zero, in pages of `page_size` bytes.
    Shmem(Census& census, PhysicalMemory& memory, std::uint64_t page_size, std::uint64_t size);
    ~Shmem() override;

    std::uint64_t size() const EXCLUDES(mutex_);
    /// Makes the file longer or shorter. What is cut off reads as zero if the file grows again;
    /// pages that are pinned live on for the device.
    void resize(std::uint64_t size) EXCLUDES(mutex_);

    Result<SlotRun> frames(std::uint64_t offset, std::uint64_t bytes) override EXCLUDES(mutex_);

  private:
    // Page-aligned offsets only, in frames.
    Result<SlotRun> frames_at(std::uint64_t first, std::uint64_t count) REQUIRES(mutex_);

    PhysicalMemory& memory_;
    const std::uint64_t page_size_;
    mutable Mutex mutex_;
    std::uint64_t size_ GUARDED_BY(mutex_);
    std::map<std::uint64_t, SlotRun> pages_ GUARDED_BY(mutex_);  // by offset in frames
    // Cut off while a mapping may still show them: kept, unseen, until the mappings are gone.
    std::vector<SlotRun> cut_off_ GUARDED_BY(mutex_);
};

}  // namespace kvmiommu::mm
