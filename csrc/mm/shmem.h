// SPDX-License-Identifier: MIT
//
// Pages of a memfd or of shared anonymous memory (mm/shmem.c). They come into being when they
// are first mapped, read or written, and go with the file.

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
    /// Makes the file longer or shorter. What is cut off reads as zero if the file grows again; its
    /// frames live on for those alone who hold them: mappings that show them, views, pins.
    void resize(std::uint64_t size) EXCLUDES(mutex_);
    /// Makes the file as long as this, if it is not (i_size_write after a write).
    void extend(std::uint64_t size) EXCLUDES(mutex_);

    Result<HeldFrames> frames(std::uint64_t offset, std::uint64_t bytes) override EXCLUDES(mutex_);
    /// The page at `offset` for a write that may make the file longer. It need not lie within the
    /// file, and goes with the next resize() if it is not then. ENOMEM. (shmem_write_begin)
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
