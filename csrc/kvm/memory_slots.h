// SPDX-License-Identifier: MIT
//
// Guest physical memory: slots of user memory (virt/kvm/kvm_main.c: __kvm_set_memory_region).

#pragma once

#include <cstdint>
#include <map>

#include "base/base.h"
#include "uapi/kvm.h"

namespace kvmiommu::kvm {

/// Slots that user space can have (KVM_CAP_NR_MEMSLOTS).
inline constexpr std::uint32_t kUserMemorySlots = 32764;

struct MemorySlot {
    Range guest;          // guest physical addresses
    std::uint64_t vaddr;  // user address of its start
    std::uint32_t flags;
};

class MemorySlots {
  public:
    explicit MemorySlots(std::uint64_t page_size) : page_size_(page_size) {}

    /// Makes, moves, changes or, with size 0, deletes a slot. EINVAL: flags or slot unknown, not
    /// page aligned, past the end, deleting nothing, changing what must stay; EEXIST: overlaps.
    Result<> set(const uapi::kvm_userspace_memory_region& region);
    const std::map<std::uint32_t, MemorySlot>& slots() const { return slots_; }

  private:
    Result<> check(const uapi::kvm_userspace_memory_region& region) const;

    const std::uint64_t page_size_;
    std::map<std::uint32_t, MemorySlot> slots_;
};

}  // namespace kvmiommu::kvm
