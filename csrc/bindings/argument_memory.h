// SPDX-License-Identifier: MIT
//
// Memory of an emulated process for the data that Python passes to a call: argument blocks, and the
// bytes of reads and writes. Each block is followed by 4096 zero bytes, for calls that read beyond
// it.

#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "base/base.h"
#include "bindings/lock_order.h"
#include "mm/owned_address_space.h"

namespace kvmiommu {

class ArgumentMemory {
  public:
    explicit ArgumentMemory(mm::OwnedAddressSpace& mm) : mm_(mm) {}

    static constexpr std::uint64_t kZeros = 4096;

    /// A block of memory until it goes out of scope.
    class Block {
      public:
        Block(ArgumentMemory& memory, std::uint64_t address, std::uint64_t mapped)
            : memory_(&memory), address_(address), mapped_(mapped) {}
        Block(Block&& other) noexcept
            : memory_(std::exchange(other.memory_, nullptr)),
              address_(other.address_),
              mapped_(other.mapped_) {}
        Block& operator=(Block&&) = delete;
        ~Block() {
            if (memory_ != nullptr) {
                memory_->release(address_, mapped_);
            }
        }
        std::uint64_t address() const { return address_; }

      private:
        ArgumentMemory* memory_;
        std::uint64_t address_;
        std::uint64_t mapped_;
    };

    /// A block of `bytes`, followed by the zeros.
    /// ENOMEM the machine or the host has no memory
    Result<Block> take(std::uint64_t bytes) EXCLUDES(mutex_);

  private:
    friend class Block;
    void release(std::uint64_t address, std::uint64_t mapped) EXCLUDES(mutex_);

    // Blocks up to this size are kept for the next call; larger ones are unmapped.
    static constexpr std::uint64_t kKept = 64 << 10;

    mm::OwnedAddressSpace& mm_;
    Mutex mutex_{bindings::lock_order::kArguments};
    std::vector<std::uint64_t> free_ GUARDED_BY(mutex_);
};

}  // namespace kvmiommu
