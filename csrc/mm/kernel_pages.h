// SPDX-License-Identifier: MIT
//
// Pages of a kernel object that processes can map: a TCE table, a vcpu's kvm_run. Each page is
// allocated at its first access (include/linux/mm.h: vm_operations_struct.fault).

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
    /// The kernel's address of page `index`, below count(); null: not allocated yet.
    std::byte* page(std::uint64_t index) const {
        const std::uint64_t slot = slots_[index].load(std::memory_order_acquire);
        return slot == 0 ? nullptr : memory_.direct(slot - 1);
    }
    /// The same, allocated if needed.
    /// ENOMEM RAM is exhausted
    Result<std::byte*> make_page(std::uint64_t index) EXCLUDES(mutex_);

    /// EFAULT `offset` is past the last page
    /// ENOMEM RAM is exhausted
    Result<HeldFrames> frames(std::uint64_t offset, std::uint64_t bytes) override EXCLUDES(mutex_);

  protected:
    /// Page `index` was allocated, and nobody sees it yet: all of it is zero.
    virtual void begin(std::uint64_t, std::byte*) REQUIRES(mutex_) {}

    mutable Mutex mutex_{lock_order::kBacking};  // for allocating pages

  private:
    PhysicalMemory& memory_;
    const std::uint64_t page_size_;
    const std::uint64_t count_;
    std::unique_ptr<std::atomic<std::uint64_t>[]> slots_;  // slot + 1; 0: not allocated
};

}  // namespace kvmiommu::mm
