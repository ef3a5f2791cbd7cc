// SPDX-License-Identifier: MIT
//
// The walker of every page-table format: a tree of tables in the machine's RAM.
//
// No lock is taken. A table is put in by compare-and-swap, a leaf is a plain store of a whole
// entry: callers own the ranges that they map and unmap. A table is freed only by an unmap or a
// larger page that covers all of its span, so nobody else can be inside it. A tree that grows gets
// a new root above the old one, which stays where it is: who is on the way down need not care.

#pragma once

#include <algorithm>
#include <atomic>
#include <bit>
#include <cassert>
#include <cstdint>
#include <optional>
#include <utility>

#include "base/base.h"
#include "iommu/domain.h"
#include "iommu/pgtable/format.h"
#include "mm/physical_memory.h"

namespace kvmiommu::iommu::pgtable {

template <Format F>
class RadixTable {
  public:
    using Entry = typename F::Entry;
    using Attributes = typename F::Attributes;

    /// An empty tree of `levels` levels that may grow to `most_levels`. ENOMEM.
    static Result<RadixTable> create(mm::PhysicalMemory& memory, unsigned levels,
                                     unsigned most_levels, FaultPoints& faults) {
        assert(0 < levels && levels <= most_levels && most_levels < mm::kFrameSize);
        const PhysAddr root = TRY(allocate_table(memory, faults));
        return RadixTable(memory, {root, levels}, most_levels);
    }
    RadixTable(RadixTable&& other) noexcept
        : memory_(other.memory_),
          most_levels_(other.most_levels_),
          top_(other.top_.exchange(0, std::memory_order_relaxed)) {}
    RadixTable& operator=(RadixTable&&) = delete;
    ~RadixTable() {
        if (const Top held = top(); held.levels != 0) {
            free_subtree(held.root, held.levels - 1);
        }
    }

    /// The root and the number of levels below it, the root's own included.
    struct Top {
        PhysAddr root;
        unsigned levels;
    };
    /// What the hardware's context entry says; a tree that grows changes it.
    Top top() const {
        const std::uint64_t packed = top_.load(std::memory_order_acquire);
        return {align_down(packed, mm::kFrameSize),
                static_cast<unsigned>(packed & (mm::kFrameSize - 1))};
    }

    /// Domain::map_pages(). EINVAL for neither reading nor writing, ERANGE beyond what the levels
    /// translate, EEXIST where something is mapped already, ENOMEM.
    Mapped map_pages(std::uint64_t iova, PhysAddr address, std::uint64_t page_size,
                     std::uint64_t count, std::uint32_t protection, Attributes attributes,
                     FaultPoints& faults) {
        Mapped mapped;
        const auto done = map_range(iova, address, page_size, count, protection, attributes, faults,
                                    mapped.bytes);
        if (!done) [[unlikely]] {
            mapped.refusal = done.error();
        }
        return mapped;
    }

    /// Domain::unmap_pages(). A larger page that the range begins or ends in goes whole and counts
    /// whole. A table that the range covers goes unseen: holes in it count as well.
    std::uint64_t unmap_pages(std::uint64_t iova, std::uint64_t page_size, std::uint64_t count) {
        const Top top = this->top();
        const std::uint64_t bytes = page_size * count;
        std::uint64_t done = 0;
        for (std::uint64_t at = iova; done < bytes && reaches(top, at);) {
            // Down to an entry that goes as a whole,
            unsigned level = top.levels - 1;
            PhysAddr table = top.root;
            Entry entry = load(entries(table)[index_of(at, level)]);
            while (F::present(entry) && !goes_whole(entry, level, at, bytes - done)) {
                table = F::address(entry);
                --level;
                entry = load(entries(table)[index_of(at, level)]);
            }
            // and along the table with it as far as they do.
            Entry* const row = entries(table);
            std::uint64_t index = index_of(at, level);
            std::uint64_t next = at;
            do {
                entry = load(row[index]);
                if (!F::present(entry)) {
                    return done;
                }
                if (!goes_whole(entry, level, next, bytes - done)) {
                    break;
                }
                const std::uint64_t gone = clear(row, level, index, entry);
                next = align_down(next, gone) + gone;
                index = align_down(index, entries_of(gone, level)) + entries_of(gone, level);
                done += gone;
            } while (index < kEntries && done < bytes);
            if (next <= at) {
                break;  // past the end of the space
            }
            at = next;
        }
        return done;
    }

    PhysAddr iova_to_phys(std::uint64_t iova) const {
        const auto found = translate(iova);
        return found ? found->address : 0;
    }

    /// Domain::translate(). A device may walk while the range is unmapped and its tables are given
    /// to somebody else, so whatever is read is looked at before it is followed.
    std::optional<Translation> translate(std::uint64_t iova) const {
        const Top top = this->top();
        if (!reaches(top, iova)) {
            return std::nullopt;
        }
        PhysAddr table = top.root;
        for (unsigned level = top.levels - 1;; --level) {
            const Entry entry = load(entries(table)[index_of(iova, level)]);
            if (!F::present(entry)) {
                return std::nullopt;
            }
            if (F::leaf(entry, level)) {
                const std::uint64_t page_size = F::leaf_size(entry, level);
                return Translation{
                    align_down(F::address(entry), page_size) + (iova & (page_size - 1)),
                    F::protection(entry)};
            }
            table = F::address(entry);
            if (!memory_.is_ram(table)) {
                return std::nullopt;
            }
        }
    }

  private:
    static constexpr Source kSource{"kvmiommu: iommu/pgtable/radix.h"};
    static constexpr std::uint64_t kEntries = std::uint64_t{1} << F::kIndexBits;

    RadixTable(mm::PhysicalMemory& memory, Top top, unsigned most_levels)
        : memory_(memory), most_levels_(most_levels), top_(top.root | top.levels) {}

    // --- geometry ---

    static constexpr unsigned shift_of(unsigned level) {
        return F::kPageShift + level * F::kIndexBits;
    }
    // Bytes that one entry of a level stands for.
    static constexpr std::uint64_t span(unsigned level) {
        return std::uint64_t{1} << shift_of(level);
    }
    static constexpr std::uint64_t index_of(std::uint64_t iova, unsigned level) {
        return iova >> shift_of(level) & (kEntries - 1);
    }
    static bool reaches(Top top, std::uint64_t iova) {
        return iova <= low_mask(shift_of(top.levels));
    }
    // The level whose entries make up a page, and how many of them do.
    static unsigned level_of(std::uint64_t page_size) {
        const unsigned order = static_cast<unsigned>(std::countr_zero(page_size)) - F::kPageShift;
        assert(F::kRuns || order % F::kIndexBits == 0);
        return order / F::kIndexBits;
    }
    static std::uint64_t entries_of(std::uint64_t page_size, unsigned level) {
        if constexpr (F::kRuns) {
            return page_size >> shift_of(level);
        } else {
            return 1;
        }
    }

    // --- tables ---

    static Result<PhysAddr> allocate_table(mm::PhysicalMemory& memory, FaultPoints& faults) {
        if (faults.fails()) {
            return refuse(ENOMEM, "a page table could not be allocated: told to fail",
                          Source{"drivers/iommu/iommu-pages.h: iommu_alloc_pages_node"});
        }
        return memory.allocate_frame();
    }

    Entry* entries(PhysAddr table) const { return reinterpret_cast<Entry*>(memory_.at(table)); }
    static Entry load(Entry& entry) {
        return std::atomic_ref<Entry>(entry).load(std::memory_order_acquire);
    }
    static void store(Entry& entry, Entry value) {
        std::atomic_ref<Entry>(entry).store(value, std::memory_order_release);
    }

    // A top that reaches `last` and has entries of `level`.
    Result<Top> top_for(std::uint64_t last, unsigned level, FaultPoints& faults) {
        Top seen = top();
        while (!reaches(seen, last) || level >= seen.levels) [[unlikely]] {
            if (seen.levels == most_levels_) {
                return refuse(ERANGE, "iova {:x} is beyond the {} bits of {} levels", kSource, last,
                              std::min(shift_of(most_levels_), 64u), most_levels_);
            }
            const PhysAddr root = TRY(allocate_table(memory_, faults));
            store(entries(root)[0], F::make_table(seen.root, seen.levels - 1));
            std::uint64_t expected = seen.root | seen.levels;
            if (!top_.compare_exchange_strong(expected, root | (seen.levels + 1),
                                              std::memory_order_acq_rel)) {
                memory_.free_frame(root);
            }
            seen = top();
        }
        return seen;
    }

    // The table of `level` that holds the entry for `iova`, made where it is missing.
    Result<PhysAddr> table_for(Top top, std::uint64_t iova, unsigned level, FaultPoints& faults) {
        PhysAddr table = top.root;
        for (unsigned at = top.levels - 1; at > level; --at) {
            std::atomic_ref<Entry> entry(entries(table)[index_of(iova, at)]);
            Entry seen = entry.load(std::memory_order_acquire);
            if (!F::present(seen)) {
                const PhysAddr fresh = TRY(allocate_table(memory_, faults));
                if (entry.compare_exchange_strong(seen, F::make_table(fresh, at - 1),
                                                  std::memory_order_acq_rel)) {
                    table = fresh;
                    continue;
                }
                memory_.free_frame(fresh);
            }
            if (F::leaf(seen, at)) {
                return refuse(EEXIST, "iova {:x} lies in a larger page that is mapped already",
                              kSource, iova);
            }
            table = F::address(seen);
        }
        return table;
    }

    void free_subtree(PhysAddr table, unsigned level) {
        if (level != 0) {
            for (std::uint64_t index = 0; index < kEntries; ++index) {
                const Entry entry = load(entries(table)[index]);
                if (F::present(entry) && !F::leaf(entry, level)) {
                    free_subtree(F::address(entry), level - 1);
                }
            }
        }
        memory_.free_frame(table);
    }

    bool maps_anything(PhysAddr table, unsigned level) const {
        for (std::uint64_t index = 0; index < kEntries; ++index) {
            const Entry entry = load(entries(table)[index]);
            if (F::present(entry) &&
                (F::leaf(entry, level) || maps_anything(F::address(entry), level - 1))) {
                return true;
            }
        }
        return false;
    }

    // --- mapping ---

    Result<> map_range(std::uint64_t iova, PhysAddr address, std::uint64_t page_size,
                       std::uint64_t count, std::uint32_t protection, Attributes attributes,
                       FaultPoints& faults, std::uint64_t& done) {
        if ((protection & (kRead | kWrite)) == 0) {
            return refuse(EINVAL, "iova {:x} would be neither readable nor writable", kSource,
                          iova);
        }
        const std::uint64_t last = iova + (page_size * count - 1);
        if (last < iova) {
            return refuse(ERANGE, "{} pages from iova {:x} on wrap", kSource, count, iova);
        }
        const unsigned level = level_of(page_size);
        const std::uint64_t filled = entries_of(page_size, level);
        const Top top = TRY(top_for(last, level, faults));
        while (count != 0) {
            Entry* const row = entries(TRY(table_for(top, iova + done, level, faults)));
            // As many as this table has room for.
            std::uint64_t index = index_of(iova + done, level);
            const std::uint64_t run = std::min(count, (kEntries - index) / filled);
            for (std::uint64_t page = 0; page < run; ++page, index += filled) {
                for (std::uint64_t each = index; each < index + filled; ++each) {
                    if (F::present(load(row[each]))) [[unlikely]] {
                        TRY(make_way(row[each], level, iova + done));
                    }
                }
                const Entry leaf = F::make_leaf(address + done, page_size, protection, attributes);
                for (std::uint64_t each = index; each < index + filled; ++each) {
                    store(row[each], leaf);
                }
                done += page_size;
            }
            count -= run;
        }
        return {};
    }

    // In the way of a large page may be a table that maps nothing any more: unmaps that did not
    // cover its span have left it.
    Result<> make_way(Entry& entry, unsigned level, std::uint64_t iova) {
        const Entry old = load(entry);
        if (F::leaf(old, level) || maps_anything(F::address(old), level - 1)) {
            return refuse(EEXIST, "iova {:x}, or what its page covers, is mapped already", kSource,
                          iova);
        }
        store(entry, 0);
        free_subtree(F::address(old), level - 1);
        return {};
    }

    // --- unmapping ---

    // Does a present entry go as it is, when `bytes` are unmapped from `iova` on? A leaf always
    // does, a table when all of its span goes.
    static bool goes_whole(Entry entry, unsigned level, std::uint64_t iova, std::uint64_t bytes) {
        return F::leaf(entry, level) || (bytes >= span(level) && is_aligned(iova, span(level)));
    }

    // Takes an entry out of its table with all that belongs to it. Answers the bytes that it stood
    // for.
    std::uint64_t clear(Entry* row, unsigned level, std::uint64_t index, Entry entry) {
        if (!F::leaf(entry, level)) {
            store(row[index], 0);
            free_subtree(F::address(entry), level - 1);
            return span(level);
        }
        const std::uint64_t page_size = F::leaf_size(entry, level);
        const std::uint64_t filled = entries_of(page_size, level);
        const std::uint64_t first = align_down(index, filled);
        for (std::uint64_t each = first; each < first + filled; ++each) {
            store(row[each], 0);
        }
        return page_size;
    }

    mm::PhysicalMemory& memory_;
    const unsigned most_levels_;
    // The root's address and, in the bits of an offset into it, the number of levels: one word, so
    // that both are always seen together.
    std::atomic<std::uint64_t> top_;
};

}  // namespace kvmiommu::iommu::pgtable
