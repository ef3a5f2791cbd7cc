// SPDX-License-Identifier: MIT
//
// Guest physical memory: slots of user memory (virt/kvm/kvm_main.c: __kvm_set_memory_region).

#pragma once

#include <cstdint>
#include <map>
#include <optional>

#include "base/base.h"
#include "fs/platform.h"
#include "uapi/kvm.h"

namespace kvmiommu::kvm {

/// Slots of user space (KVM_CAP_NR_MEMSLOTS): x86 alone reserves three of 32767.
constexpr std::uint32_t user_memory_slots(fs::Arch arch) {
    return arch == fs::Arch::x86_64 ? 32764 : 32767;
}

/// KVM_MEM_* that a slot can have: POWER has no read-only slots (KVM_CAP_READONLY_MEM).
constexpr std::uint32_t memory_slot_flags(fs::Arch arch) {
    return uapi::KVM_MEM_LOG_DIRTY_PAGES | (arch == fs::Arch::ppc64le ? 0 : uapi::KVM_MEM_READONLY);
}

struct MemorySlot {
    Range guest;          // guest physical addresses
    std::uint64_t vaddr;  // user address of its start
    std::uint32_t flags;
};

class MemorySlots {
  public:
    /// `most`: number of slots; `flags`: those that a slot can have.
    MemorySlots(std::uint64_t page_size, std::uint32_t most, std::uint32_t flags)
        : page_size_(page_size), most_(most), flags_(flags) {}

    /// Creates, moves or changes a slot, or deletes it with size 0.
    /// EINVAL unknown flags
    /// EINVAL the slot's number is too large
    /// EINVAL size, guest address or user address is not a multiple of the page
    /// EINVAL the user addresses exceed the address space
    /// EINVAL the guest addresses wrap, or the slot has too many pages
    /// EINVAL size 0, and there is no such slot
    /// EINVAL an existing slot's user address, size or KVM_MEM_READONLY would change
    /// EEXIST the guest addresses overlap another slot
    Result<> set(const uapi::kvm_userspace_memory_region& region);
    const std::map<std::uint32_t, MemorySlot>& slots() const { return slots_; }
    /// The user address of a guest address; nothing: it is in no slot.
    std::optional<std::uint64_t> user_address(std::uint64_t guest) const {
        for (const auto& [number, slot] : slots_) {
            if (slot.guest.start <= guest && guest <= slot.guest.last) {
                return slot.vaddr + (guest - slot.guest.start);
            }
        }
        return std::nullopt;
    }

  private:
    Result<> check(const uapi::kvm_userspace_memory_region& region) const;

    const std::uint64_t page_size_;
    const std::uint32_t most_;
    const std::uint32_t flags_;
    std::map<std::uint32_t, MemorySlot> slots_;
};

}  // namespace kvmiommu::kvm
