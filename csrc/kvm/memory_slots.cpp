// SPDX-License-Identifier: MIT

#include "kvm/memory_slots.h"

#include "mm/address_space.h"

namespace kvmiommu::kvm {

namespace {

constexpr Source kIoctl{"virt/kvm/kvm_main.c: kvm_vm_ioctl_set_memory_region"};
constexpr Source kSet{"virt/kvm/kvm_main.c: __kvm_set_memory_region"};
constexpr std::uint64_t kMostPages = (std::uint64_t{1} << 31) - 1;

}  // namespace

// The checks that also hold for a slot that is to be deleted.
Result<> MemorySlots::check(const uapi::kvm_userspace_memory_region& region) const {
    if ((region.flags & ~flags_) != 0) {
        return refuse(EINVAL, "flags {:x} are not all known", kSet, region.flags);
    }
    // The upper half is the number of the address space; without system management mode there is
    // only address space 0.
    if ((region.slot & 0xffff) >= most_ || region.slot >> 16 != 0) {
        return refuse(EINVAL, "slot {:x}: there are {}", kIoctl, region.slot, most_);
    }
    if (!is_aligned(region.memory_size | region.guest_phys_addr | region.userspace_addr,
                    page_size_)) {
        return refuse(EINVAL,
                      "size {:x}, guest address {:x} or user address {:x} is not a multiple "
                      "of the page size {:x}",
                      kSet, region.memory_size, region.guest_phys_addr, region.userspace_addr,
                      page_size_);
    }
    if (region.userspace_addr > mm::kTaskSize ||
        region.memory_size > mm::kTaskSize - region.userspace_addr) {
        return refuse(EINVAL, "{:x} bytes from {:x} reach past the user addresses' end", kSet,
                      region.memory_size, region.userspace_addr);
    }
    if (region.guest_phys_addr + region.memory_size < region.guest_phys_addr ||
        region.memory_size / page_size_ > kMostPages) {
        return refuse(EINVAL, "{:x} bytes from guest address {:x} wrap, or are too many", kSet,
                      region.memory_size, region.guest_phys_addr);
    }
    return {};
}

Result<> MemorySlots::set(const uapi::kvm_userspace_memory_region& region) {
    TRY(check(region));
    const auto old = slots_.find(region.slot);
    if (region.memory_size == 0) {
        if (old == slots_.end()) {
            return refuse(EINVAL, "slot {} does not exist, it cannot be deleted", kSet,
                          region.slot);
        }
        slots_.erase(old);
        return {};
    }
    const Range guest{region.guest_phys_addr, region.guest_phys_addr + region.memory_size - 1};
    if (old != slots_.end()) {
        const MemorySlot& slot = old->second;
        if (slot.vaddr != region.userspace_addr || slot.guest.size() != guest.size() ||
            ((slot.flags ^ region.flags) & uapi::KVM_MEM_READONLY) != 0) {
            return refuse(EINVAL,
                          "slot {} keeps its user address {:x}, its size {:x} and whether "
                          "it is read-only",
                          kSet, region.slot, slot.vaddr, slot.guest.size());
        }
    }
    for (const auto& [number, slot] : slots_) {
        if (number != region.slot && slot.guest.overlaps(guest)) {
            return refuse(EEXIST, "guest addresses {:x} to {:x} meet slot {}", kSet, guest.start,
                          guest.last, number);
        }
    }
    slots_.insert_or_assign(region.slot, MemorySlot{guest, region.userspace_addr, region.flags});
    return {};
}

}  // namespace kvmiommu::kvm
