// SPDX-License-Identifier: MIT
//
// Pages of a memfd or of shared anonymous memory (mm/shmem.c). A page is allocated when it is first
// mapped, read or written, and freed with the file.

#pragma once

#include <cstdint>
#include <map>

#include "mm/backing.h"
#include "mm/lock_order.h"

namespace kvmiommu::mm {

class Shmem final : public Backing {
  public:
    /// Memory of `size` bytes, all zero, in pages of `page_size` bytes.
    Shmem(Census& census, PhysicalMemory& memory, std::uint64_t page_size, std::uint64_t size);

    std::uint64_t size() const EXCLUDES(mutex_);
    /// Extends or truncates the file. Truncated bytes read as zero if the file is extended again;
    /// their frames stay for holders of references: mappings, views, pins.
    void resize(std::uint64_t size) EXCLUDES(mutex_);
    /// Extends the file to `size` if it is shorter (i_size_write after a write).
    void extend(std::uint64_t size) EXCLUDES(mutex_);

    /// EFAULT `offset` is past the end of the file's last page
    /// ENOMEM RAM is exhausted
    Result<HeldFrames> frames(std::uint64_t offset, std::uint64_t bytes) override EXCLUDES(mutex_);
    /// The page at `offset` for a write that may extend the file. It may be past the end, and is
    /// freed by the next resize() if it still is. (shmem_write_begin)
    /// ENOMEM RAM is exhausted
    Result<HeldFrames> page_to_write(std::uint64_t offset) EXCLUDES(mutex_);

  private:
    // Page-aligned offsets only, in frames.
    Result<HeldFrames> frames_at(std::uint64_t first, std::uint64_t count) REQUIRES(mutex_);

    PhysicalMemory& memory_;
    const std::uint64_t page_size_;
    mutable Mutex mutex_{lock_order::kBacking};
    std::uint64_t size_ GUARDED_BY(mutex_);
    std::map<std::uint64_t, HeldFrames> pages_ GUARDED_BY(mutex_);  // by offset in frames
};

}  // namespace kvmiommu::mm
