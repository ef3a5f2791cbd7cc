// SPDX-License-Identifier: MIT
//
// The TCEs of one window, which a host bridge walks, and beside each the user address that it was
// made from (arch/powerpc/include/asm/iommu.h: struct iommu_table; arch/powerpc/platforms/powernv/
// pci-ioda-tce.c).

#pragma once

#include <atomic>
#include <cstdint>
#include <optional>

#include "base/base.h"
#include "iommu/pgtable/radix.h"
#include "iommu/pgtable/tce.h"
#include "iommu/translation.h"
#include "mm/mm.h"
#include "uapi/papr.h"

namespace kvmiommu::spapr {

/// What an entry says. Without rights it leads nowhere.
struct Tce {
    mm::PhysAddr address = 0;
    std::uint64_t rights = 0;  // TCE_PCI_READ | TCE_PCI_WRITE

    static constexpr std::uint64_t kRights = uapi::TCE_PCI_READ | uapi::TCE_PCI_WRITE;
    static constexpr Tce of(std::uint64_t entry) { return {entry & ~kRights, entry & kRights}; }
    constexpr std::uint64_t entry() const { return address | rights; }
};

/// Lets the page go, of `page_size` bytes, that an entry with rights holds (tce_iommu_unuse_page).
inline void unuse_page(mm::PhysicalMemory& memory, std::uint64_t page_size, Tce entry) {
    memory.unpin({align_down(entry.address, page_size), page_size});
}

class HardwareTable final : public RefCounted {
  public:
    struct Shape {
        unsigned page_shift;
        std::uint64_t offset;     // of its first page, in pages
        std::uint64_t size;       // pages
        std::uint64_t allocated;  // bytes that are charged for it
        unsigned levels;          // as the hardware walks them
        unsigned tree_levels;     // as they are kept here
        unsigned index_bits;      // of each of these
        std::uint64_t reach;      // pages that the tables have entries for; `size` at least
        bool write_implies_read;  // in the entries
        int beyond;               // errno for a page beyond reach
    };
    /// ENOMEM.
    static Result<Ref<HardwareTable>> create(Census& census, mm::PhysicalMemory& memory,
                                             const Shape& shape, FaultPoints& faults);

    unsigned page_shift() const { return shape_.page_shift; }
    std::uint64_t page_size() const { return std::uint64_t{1} << shape_.page_shift; }
    /// Pages are counted from iova 0 on, so the window is [offset, offset + size).
    std::uint64_t offset() const { return shape_.offset; }
    std::uint64_t size() const { return shape_.size; }
    std::uint64_t start() const { return shape_.offset << shape_.page_shift; }
    std::uint64_t bytes() const { return shape_.size << shape_.page_shift; }
    std::uint64_t allocated() const { return shape_.allocated; }
    unsigned levels() const { return shape_.levels; }
    bool holds(std::uint64_t page) const { return page - shape_.offset < shape_.size; }
    /// Is there no entry for a page, nor can there be? Beyond reach, or in a table that is retired.
    bool refuses(std::uint64_t page) const {
        return !reaches(page) || retired_.load(std::memory_order_relaxed);
    }
    /// The window is gone, by the hypervisor or removed; who still holds the table finds no
    /// entries.
    void retire() { retired_.store(true, std::memory_order_relaxed); }
    bool retired() const { return retired_.load(std::memory_order_relaxed); }

    /// Each entry holds the page behind it, as version 1 of the container has it: who takes one out
    /// lets the page go, and nobody takes it for a count of a registered region.
    void hold_pages() { holds_pages_.store(true, std::memory_order_relaxed); }
    bool holds_pages() const { return holds_pages_.load(std::memory_order_relaxed); }

    /// Puts a TCE in the place of a page's, and answers that (iommu_tce_xchg_no_kill). What the
    /// platform says beyond reach; ENOMEM.
    Result<Tce> exchange(std::uint64_t page, Tce tce, FaultPoints& faults);
    /// The same where there is a table for the page, and it does not refuse; else nothing, and
    /// nothing was done.
    std::optional<Tce> exchange_there(std::uint64_t page, Tce tce) {
        const auto cell = refuses(page) ? Tree::Cell(nullptr) : tces_.cell(place(page));
        return cell ? std::optional(Tce::of(cell.exchange(entry_of(tce)))) : std::nullopt;
    }
    /// Takes a page's TCE out, also of a table that is retired.
    Tce take(std::uint64_t page) {
        const auto cell = reaches(page) ? tces_.cell(place(page)) : Tree::Cell(nullptr);
        return cell ? Tce::of(cell.exchange(0)) : Tce{};
    }
    /// Puts a TCE where there is none with rights. EBUSY there is one; else as exchange().
    Result<> put_if_free(std::uint64_t page, Tce tce, FaultPoints& faults);
    /// As the hardware reads it.
    Tce get(std::uint64_t page) const;
    /// How a device's access ends; nothing: a fault.
    std::optional<iommu::Translation> translate(std::uint64_t iova) const;
    /// Pages from this one on that no table of TCEs stands for.
    std::uint64_t pages_without_table(std::uint64_t page) const;

    // --- user addresses (it_userspace) ---

    using Tree = iommu::pgtable::RadixTable<iommu::pgtable::Tce>;
    /// Where the user address stands that a page's TCE was made from; none where there is no room
    /// for one.
    Tree::Cell user_address(std::uint64_t page) const {
        return reaches(page) ? users_.cell(place(page)) : Tree::Cell(nullptr);
    }
    /// The same, with room made; none: no memory, or beyond reach.
    Tree::Cell make_user_address(std::uint64_t page, FaultPoints& faults);

    /// create() is what makes one.
    HardwareTable(Census& census, const Shape& shape, Tree tces, Tree users)
        : RefCounted(census, "iommu_table"),
          shape_(shape),
          tces_(std::move(tces)),
          users_(std::move(users)) {}

  private:
    // Where the trees have a page.
    std::uint64_t place(std::uint64_t page) const {
        return (page - shape_.offset) << shape_.page_shift;
    }
    std::uint64_t entry_of(Tce tce) const {
        const bool reads_too = shape_.write_implies_read && (tce.rights & uapi::TCE_PCI_WRITE) != 0;
        return tce.entry() | (reads_too ? uapi::TCE_PCI_READ : 0);
    }
    Refusal beyond(std::uint64_t page) const;
    bool reaches(std::uint64_t page) const { return page - shape_.offset < shape_.reach; }

    const Shape shape_;
    std::atomic<bool> retired_{false};
    std::atomic<bool> holds_pages_{false};
    Tree tces_;
    Tree users_;
};

}  // namespace kvmiommu::spapr
