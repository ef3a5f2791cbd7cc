// SPDX-License-Identifier: MIT
//
// Frames with a reference of each, put when this is destroyed.

#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>

#include "mm/physical_memory.h"

namespace kvmiommu::mm {

class HeldFrames {
  public:
    HeldFrames() = default;
    /// Takes over the references that the caller has: of frames just allocated.
    HeldFrames(PhysicalMemory& memory, SlotRun run) : memory_(&memory), run_(run) {}
    /// Takes a reference of each. Somebody else has one that does not go meanwhile.
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

    /// Puts all but the first `count`, 0 among them.
    void trim(std::uint64_t count) {
        if (count < run_.count) {
            memory_->put({run_.slot + count, run_.count - count});
            run_.count = count;
            memory_ = count == 0 ? nullptr : memory_;
        }
    }
    /// Two in place of one: this keeps the first `count`, not 0 and not all.
    HeldFrames split_off(std::uint64_t count) {
        HeldFrames upper(*memory_, {run_.slot + count, run_.count - count});
        run_.count = count;
        return upper;
    }
    /// The references stay for ever.
    void leak() { memory_ = nullptr; }

  private:
    PhysicalMemory* memory_ = nullptr;
    SlotRun run_{0, 0};
};

}  // namespace kvmiommu::mm
