// SPDX-License-Identifier: MIT
//
// A run of frames with a reference to each, put when the object is destroyed
// (include/linux/mm.h: get_page, put_page).

#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>

#include "mm/physical_memory.h"

namespace kvmiommu::mm {

class HeldFrames {
  public:
    HeldFrames() = default;
    /// Takes over the caller's references, to frames that were just allocated.
    HeldFrames(PhysicalMemory& memory, SlotRun run) : memory_(&memory), run_(run) {}
    /// Gets a reference to each. The caller makes sure that there is another one meanwhile.
    static HeldFrames get(PhysicalMemory& memory, SlotRun run) {
        memory.get(run);
        return {memory, run};
    }
    HeldFrames(HeldFrames&& other) noexcept
        : memory_(std::exchange(other.memory_, nullptr)), run_(other.run_) {}
    HeldFrames& operator=(HeldFrames&& other) noexcept {
        std::swap(memory_, other.memory_);
        std::swap(run_, other.run_);
        return *this;
    }
    ~HeldFrames() {
        if (memory_ != nullptr) {
            memory_->put(run_);
        }
    }

    SlotRun run() const { return run_; }
    std::uint64_t slot() const { return run_.slot; }
    std::uint64_t count() const { return run_.count; }
    std::uint64_t bytes() const { return run_.count << kFrameShift; }
    std::byte* data() const { return memory_->direct(run_.slot); }

    /// Puts all references but the first `count`, which may be 0.
    void trim(std::uint64_t count) {
        if (count < run_.count) {
            memory_->put({run_.slot + count, run_.count - count});
            run_.count = count;
            memory_ = count == 0 ? nullptr : memory_;
        }
    }
    /// Keeps the first `count` frames, not 0 and not all, and returns the rest.
    HeldFrames split_off(std::uint64_t count) {
        HeldFrames upper(*memory_, {run_.slot + count, run_.count - count});
        run_.count = count;
        return upper;
    }
    /// The references are never put.
    void leak() { memory_ = nullptr; }

  private:
    PhysicalMemory* memory_ = nullptr;
    SlotRun run_{0, 0};
};

}  // namespace kvmiommu::mm
