// SPDX-License-Identifier: MIT
//
// The pages of a file, for mappings that are not private memory (include/linux/fs.h: address_space;
// include/linux/mm.h: vm_operations_struct). mm knows files only through this.

#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "base/base.h"
#include "mm/held_frames.h"
#include "mm/physical_memory.h"

namespace kvmiommu::mm {

/// Pages that mappings share. A mapping holds a reference to the Backing and one to each frame that
/// it maps.
class Backing : public RefCounted {
  public:
    /// The frames at `offset`, in bytes, a multiple of the machine's page size: the longest run up
    /// to `bytes`. The file may be truncated at any time: only the returned references keep the
    /// frames.
    /// EFAULT past the end of the file: a SIGBUS for an access, EFAULT for a copy
    /// ENOMEM RAM is exhausted
    virtual Result<HeldFrames> frames(std::uint64_t offset, std::uint64_t bytes) = 0;

    /// Does the page at this offset have registers, so that frames() fails? Loads and stores of the
    /// process then call the two below, without a lock; the bytes lie in one page. They return
    /// false for a SIGBUS.
    virtual bool trapped(std::uint64_t) const { return false; }
    virtual bool load(std::uint64_t, std::span<std::byte>) { return false; }
    virtual bool store(std::uint64_t, std::span<const std::byte>) { return false; }

    /// Can these pages be pinned (pin_user_pages)? Pages of registers cannot.
    virtual bool pinnable() const { return true; }

  protected:
    using RefCounted::RefCounted;
};

}  // namespace kvmiommu::mm
