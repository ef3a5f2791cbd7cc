// SPDX-License-Identifier: MIT
//
// One run of pages that is pinned until the object is destroyed.
// Rule: mm/gup.c: pin_user_pages_remote, unpin_user_pages.

#pragma once

#include <cstdint>
#include <utility>

#include "mm/address_space.h"
#include "mm/physical_memory.h"

namespace kvmiommu::mm {

/// The pages of one pin, by their addresses for a device. Only this folder knows whether these are
/// frames of this machine or pages of a remote address space.
class PinnedRun {
  public:
    PhysAddr address() const { return frames_.address; }
    std::uint64_t bytes() const { return frames_.bytes; }

  private:
    friend class Pin;
    friend class Pins;
    PinnedRun() = default;
    explicit PinnedRun(PhysicalRun frames) : frames_(frames) {}
    // Pins are counted by frame, so any part of a run can be unpinned.
    PinnedRun part(std::uint64_t offset, std::uint64_t bytes) const {
        return PinnedRun({frames_.address + offset, bytes});
    }
    void unpin(PhysicalMemory& memory) const { memory.unpin(frames_); }

    PhysicalRun frames_;
};

/// Move-only. The machine's memory must outlive it, the address space need not.
class Pin {
  public:
    /// Pins [address, address + bytes), page aligned and not empty, as far as it is physically
    /// contiguous.
    /// EFAULT the first page cannot be pinned for this access
    static Result<Pin> of(AddressSpace& mm, std::uint64_t address, std::uint64_t bytes,
                          Access access) {
        return Pin(mm.memory(), PinnedRun(TRY(mm.pin(address, bytes, access))));
    }
    Pin(Pin&& other) noexcept : memory_(std::exchange(other.memory_, nullptr)), run_(other.run_) {}
    Pin& operator=(Pin&& other) = delete;
    ~Pin() {
        if (memory_ != nullptr) {
            run_.unpin(*memory_);
        }
    }

    PinnedRun run() const { return run_; }
    PhysAddr address() const { return run_.address(); }
    std::uint64_t bytes() const { return run_.bytes(); }

  private:
    friend class Pins;
    Pin(PhysicalMemory& memory, PinnedRun run) : memory_(&memory), run_(run) {}

    PhysicalMemory* memory_;
    PinnedRun run_;
};

}  // namespace kvmiommu::mm
