// SPDX-License-Identifier: MIT
//
// The TCEs of one window, which a host bridge walks, and the user address that each was made from
// (arch/powerpc/include/asm/iommu.h: struct iommu_table; arch/powerpc/platforms/powernv/
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

/// An entry. Without rights it maps nothing.
struct Tce {
    mm::PhysAddr address = 0;
    std::uint64_t rights = 0;  // TCE_PCI_READ | TCE_PCI_WRITE

    static constexpr std::uint64_t kRights = uapi::TCE_PCI_READ | uapi::TCE_PCI_WRITE;
    static constexpr Tce of(std::uint64_t entry) { return {entry & ~kRights, entry & kRights}; }
    constexpr std::uint64_t entry() const { return address | rights; }
};

/// Unpins the page, of `page_size` bytes, that an entry with rights holds. (tce_iommu_unuse_page)
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
        unsigned levels;          // of the hardware's table
        unsigned tree_levels;     // of the tree that stands for it
        unsigned index_bits;      // of a level of that tree
        std::uint64_t reach;      // pages that the table has entries for; `size` at least
        bool write_implies_read;  // in an entry
        int beyond;               // errno for a page beyond reach
    };
    /// ENOMEM
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
    /// Can there be no entry for a page? It is beyond reach, or the table is retired.
    bool refuses(std::uint64_t page) const {
        return !reaches(page) || retired_.load(std::memory_order_relaxed);
    }
    /// The window was removed, or taken by the hypervisor: users of the table find no entries.
    void retire() { retired_.store(true, std::memory_order_relaxed); }
    bool retired() const { return retired_.load(std::memory_order_relaxed); }

    /// Each entry holds a pin of its page, as in a container of version 1, not a count of a
    /// registered region: whoever clears the entry unpins the page.
    void hold_pages() { holds_pages_.store(true, std::memory_order_relaxed); }
    bool holds_pages() const { return holds_pages_.load(std::memory_order_relaxed); }

    /// Stores the TCE of a page and returns the one before. (iommu_tce_xchg_no_kill)
    /// Shape::beyond the table refuses the page
    /// ENOMEM
    Result<Tce> exchange(std::uint64_t page, Tce tce, FaultPoints& faults);
    /// The same if there is a table for the page, which does not refuse it; none: nothing was done.
    std::optional<Tce> exchange_there(std::uint64_t page, Tce tce) {
        const auto cell = refuses(page) ? Tree::Cell(nullptr) : tces_.cell(place(page));
        return cell ? std::optional(Tce::of(cell.exchange(entry_of(tce)))) : std::nullopt;
    }
    /// Clears the TCE of a page, also in a table that is retired, and returns it.
    Tce take(std::uint64_t page) {
        const auto cell = reaches(page) ? tces_.cell(place(page)) : Tree::Cell(nullptr);
        return cell ? Tce::of(cell.exchange(0)) : Tce{};
    }
    /// Stores the TCE of a page unless there is one with rights.
    /// EBUSY there is one
    /// or as exchange()
    Result<> put_if_free(std::uint64_t page, Tce tce, FaultPoints& faults);
    /// As the hardware reads it.
    Tce get(std::uint64_t page) const;
    /// The translation that a device meets; none: a fault.
    std::optional<iommu::Translation> translate(std::uint64_t iova) const;
    /// The number of pages from this one on that there is no table for.
    std::uint64_t pages_without_table(std::uint64_t page) const;

    // --- user addresses (it_userspace) ---

    using Tree = iommu::pgtable::RadixTable<iommu::pgtable::Tce>;
    /// The user address that a page's TCE was made from; none where there is no table for it.
    Tree::Cell user_address(std::uint64_t page) const {
        return reaches(page) ? users_.cell(place(page)) : Tree::Cell(nullptr);
    }
    /// The same, with a table allocated; none: no memory, or beyond reach.
    Tree::Cell make_user_address(std::uint64_t page, FaultPoints& faults);

    /// For create().
    HardwareTable(Census& census, const Shape& shape, Tree tces, Tree users)
        : RefCounted(census, "iommu_table"),
          shape_(shape),
          tces_(std::move(tces)),
          users_(std::move(users)) {}

  private:
    // The iova of a page in the trees.
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
