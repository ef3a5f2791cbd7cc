// SPDX-License-Identifier: MIT
//
// Pages of an object of the kernel that processes can map: a TCE table, the page that a vcpu
// shares. Each is made when it is first touched (vm_operations_struct: fault).

#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>

#include "mm/backing.h"
#include "mm/lock_order.h"

namespace kvmiommu::mm {

class KernelPages : public Backing {
  public:
    /// `count` pages of `page_size` bytes, all zero.
    KernelPages(Census& census, const char* kind, PhysicalMemory& memory, std::uint64_t page_size,
                std::uint64_t count);
    ~KernelPages() override;

    std::uint64_t count() const { return count_; }
    /// Where the kernel has page `index`, one of count(); null: nobody has touched it.
    std::byte* page(std::uint64_t index) const {
        const std::uint64_t slot = slots_[index].load(std::memory_order_acquire);
        return slot == 0 ? nullptr : memory_.direct(slot - 1);
    }
    /// The same, made if need be. ENOMEM.
    Result<std::byte*> make_page(std::uint64_t index) EXCLUDES(mutex_);

    Result<HeldFrames> frames(std::uint64_t offset, std::uint64_t bytes) override EXCLUDES(mutex_);

  private:
    PhysicalMemory& memory_;
    const std::uint64_t page_size_;
    const std::uint64_t count_;
    Mutex mutex_{lock_order::kBacking};                    // for making pages
    std::unique_ptr<std::atomic<std::uint64_t>[]> slots_;  // each one more than the slot; 0: none
};

}  // namespace kvmiommu::mm
