// SPDX-License-Identifier: MIT
//
// What a mapping shows when it is not private memory: the pages of a file. mm knows files only
// through this.

#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "base/base.h"
#include "mm/held_frames.h"
#include "mm/physical_memory.h"

namespace kvmiommu::mm {

/// Pages that mappings share. A mapping holds a reference to it, and one to each frame that it
/// shows.
class Backing : public RefCounted {
  public:
    /// The frames behind page offset `offset` (bytes, a multiple of the machine's page size), in
    /// the longest run up to `bytes`. EFAULT where there is no page, past the end of the file: the
    /// access that asked is a SIGBUS then, a copy EFAULT. ENOMEM no frames.
    ///
    /// The file may be cut meanwhile: only the references that are returned keep the frames.
    virtual Result<HeldFrames> frames(std::uint64_t offset, std::uint64_t bytes) = 0;

    /// Has the page at this offset registers, where frames() has nothing to show? Loads and stores
    /// of the process then come to the two below, without a lock; the bytes lie in one page. False:
    /// there is nothing, SIGBUS.
    virtual bool trapped(std::uint64_t) const { return false; }
    virtual bool load(std::uint64_t, std::span<std::byte>) { return false; }
    virtual bool store(std::uint64_t, std::span<const std::byte>) { return false; }

    /// Can a device reach these pages (pin_user_pages)? Not those of registers.
    virtual bool pinnable() const { return true; }

  protected:
    using RefCounted::RefCounted;
};

}  // namespace kvmiommu::mm
