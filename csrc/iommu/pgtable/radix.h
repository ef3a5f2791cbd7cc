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
#include "base/wide.h"
#include "iommu/domain.h"
#include "iommu/pgtable/format.h"
#include "mm/physical_memory.h"

namespace kvmiommu::iommu::pgtable {

using mm::FrameChain;
using mm::FrameMap;

template <Format F>
class RadixTable {
  public:
    using Entry = typename F::Entry;
    using Attributes = typename F::Attributes;

    /// An empty tree of `levels` levels that may grow to `most_levels`. A format that concatenates
    /// may have 2^`more_bits` tables next to each other as its root, for so many bits more. ENOMEM.
    static Result<RadixTable> create(mm::PhysicalMemory& memory, unsigned levels,
                                     unsigned most_levels, FaultPoints& faults,
                                     unsigned more_bits = 0) {
        assert(0 < levels && levels <= most_levels && most_levels < mm::kFrameSize);
        assert(more_bits == 0 || (kConcatenates && levels == most_levels));
        const std::uint64_t roots = std::uint64_t{1} << more_bits;
        const PhysAddr root = TRY(allocate_tables(memory, roots, faults));
        return RadixTable(memory, {root, levels}, most_levels, more_bits);
    }
    RadixTable(RadixTable&& other) noexcept
        : memory_(other.memory_),
          most_levels_(other.most_levels_),
          more_bits_(other.more_bits_),
          top_(other.top_.exchange(0, std::memory_order_relaxed)),
          tables_(other.tables_.exchange(0, std::memory_order_relaxed)) {}
    RadixTable& operator=(RadixTable&&) = delete;
    ~RadixTable() {
        if (const Top held = top(); held.levels != 0) {
            FrameChain all;
            for (std::uint64_t each = 0; each < roots(); ++each) {
                take_subtree(memory_.frame_map(), held.root + (each << mm::kFrameShift),
                             held.levels - 1, all);
            }
            release(all);
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

    /// Bytes of page-table memory in use.
    std::uint64_t table_bytes() const {
        return tables_.load(std::memory_order_relaxed) << mm::kFrameShift;
    }

    /// Domain::map_pages(). EINVAL for neither reading nor writing, ERANGE beyond what the levels
    /// translate, EEXIST where something is mapped already, ENOMEM.
    Mapped map_pages(std::uint64_t iova, PhysAddr address, std::uint64_t page_size,
                     std::uint64_t count, std::uint32_t protection, Attributes attributes,
                     FaultPoints& faults) {
        if (count == 1 && map_one(iova, address, page_size, protection, attributes)) [[likely]] {
            return {page_size, std::nullopt};
        }
        return map_run(iova, address, page_size, count, protection, attributes, faults);
    }

    /// Domain::unmap_pages(). A larger page that the range begins or ends in goes whole and counts
    /// whole. A table that the range covers goes unseen: holes in it count as well.
    std::uint64_t unmap_pages(std::uint64_t iova, std::uint64_t page_size, std::uint64_t count) {
        if (count == 1 && unmap_one(iova, page_size)) [[likely]] {
            return page_size;
        }
        return unmap_run(iova, page_size * count);
    }

    PhysAddr iova_to_phys(std::uint64_t iova) const {
        const auto found = translate(iova);
        return found ? found->address : 0;
    }

    /// Domain::translate(). A device may walk while the range is unmapped and its tables are given
    /// to somebody else, so whatever is read is looked at before it is followed.
    std::optional<Translation> translate(std::uint64_t iova) const {
        const Top top = this->top();
        if (!reaches(top, iova)) [[unlikely]] {
            return std::nullopt;
        }
        const FrameMap map = memory_.frame_map();
        PhysAddr table = root_of(top, iova);
        for (unsigned level = top.levels - 1;; --level) {
            const Entry entry = load(*entry_at(map, table, index_of(iova, level)));
            if (!F::present(entry)) [[unlikely]] {
                return std::nullopt;
            }
            if (F::leaf(entry, level)) {
                const std::uint64_t page_size = F::leaf_size(entry, level);
                return Translation{
                    align_down(F::address(entry), page_size) + (iova & (page_size - 1)),
                    F::protection(entry)};
            }
            table = F::address(entry);
            if (!map.is_ram(table)) [[unlikely]] {
                return std::nullopt;
            }
        }
    }

  private:
    static constexpr Source kSource{"kvmiommu: iommu/pgtable/radix.h"};
    static constexpr std::uint64_t kEntries = std::uint64_t{1} << F::kIndexBits;

    static constexpr bool kConcatenates = requires { F::kMostMoreBits; };

    RadixTable(mm::PhysicalMemory& memory, Top top, unsigned most_levels, unsigned more_bits)
        : memory_(memory),
          most_levels_(most_levels),
          more_bits_(more_bits),
          top_(top.root | top.levels),
          tables_(std::uint64_t{1} << more_bits) {}

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
    bool reaches(Top top, std::uint64_t iova) const {
        return iova <= low_mask(shift_of(top.levels) + (kConcatenates ? more_bits_ : 0));
    }
    std::uint64_t roots() const { return std::uint64_t{1} << more_bits_; }
    // The table at the top that an iova within reach is looked up in.
    PhysAddr root_of(Top top, std::uint64_t iova) const {
        if constexpr (kConcatenates) {
            return top.root + (iova >> shift_of(top.levels) << mm::kFrameShift);
        } else {
            return top.root;
        }
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

    static Result<PhysAddr> allocate_tables(mm::PhysicalMemory& memory, std::uint64_t count,
                                            FaultPoints& faults) {
        if (faults.fails()) {
            return refuse(ENOMEM, "a page table could not be allocated: told to fail",
                          Source{"drivers/iommu/iommu-pages.h: iommu_alloc_pages_node"});
        }
        return count == 1 ? memory.allocate_frame() : memory.allocate_frames(count);
    }

    static Entry* entry_at(FrameMap map, PhysAddr table, std::uint64_t index) {
        return reinterpret_cast<Entry*>(map.at(table, index * sizeof(Entry)));
    }
    static Entry* entries(FrameMap map, PhysAddr table) {
        return reinterpret_cast<Entry*>(map.at(table));
    }
    static Entry load(Entry& entry) {
        return std::atomic_ref<Entry>(entry).load(std::memory_order_acquire);
    }
    static void store(Entry& entry, Entry value) {
        std::atomic_ref<Entry>(entry).store(value, std::memory_order_release);
    }

    // A frame more or less in use. Freed tables are linked first and given back together.
    Result<PhysAddr> new_table(FaultPoints& faults) {
        const PhysAddr table = TRY(allocate_tables(memory_, 1, faults));
        tables_.fetch_add(1, std::memory_order_relaxed);
        return table;
    }
    void release(FrameChain freed) {
        tables_.fetch_sub(freed.count, std::memory_order_relaxed);
        memory_.free_frames(freed);
    }

    // What is unusual about a map: it is refused, or the tree must grow until it reaches `last`
    // and has entries of `level`.
    [[gnu::noinline]] std::optional<Refusal> prepare(Top& top, std::uint64_t iova,
                                                     std::uint64_t last, unsigned level,
                                                     std::uint32_t protection,
                                                     FaultPoints& faults) {
        if ((protection & (kRead | kWrite)) == 0) {
            return refuse(EINVAL, "iova {:x} would be neither readable nor writable", kSource, iova)
                .error();
        }
        if (last < iova) {
            return refuse(ERANGE, "the pages from iova {:x} on wrap", kSource, iova).error();
        }
        while (!reaches(top, last) || level >= top.levels) {
            if (top.levels == most_levels_) {
                return refuse(ERANGE, "iova {:x} is beyond the {} bits of {} levels", kSource, last,
                              std::min(shift_of(most_levels_), 64u), most_levels_)
                    .error();
            }
            const auto root = new_table(faults);
            if (!root) {
                return root.error();
            }
            store(entries(memory_.frame_map(), *root)[0], F::make_table(top.root, top.levels - 1));
            std::uint64_t expected = top.root | top.levels;
            if (!top_.compare_exchange_strong(expected, *root | (top.levels + 1),
                                              std::memory_order_acq_rel)) {
                release({*root, *root, 1});
            }
            top = this->top();
        }
        return std::nullopt;
    }

    // The table of `level` that holds the entry for `iova`, made where it is missing; null with a
    // refusal.
    Entry* row_for(FrameMap map, Top top, std::uint64_t iova, unsigned level, FaultPoints& faults,
                   std::optional<Refusal>& refusal) {
        Entry* row = entries(map, root_of(top, iova));
        for (unsigned at = top.levels - 1; at > level; --at) {
            Entry& slot = row[index_of(iova, at)];
            Entry entry = load(slot);
            if (!F::present(entry) || F::leaf(entry, at)) [[unlikely]] {
                entry = install(slot, at, iova, faults, refusal);
                if (entry == 0) {
                    return nullptr;
                }
            }
            row = entries(map, F::address(entry));
        }
        return row;
    }

    // Puts a new table into an entry of `level`, unless somebody else has just done so.
    [[gnu::noinline]] Entry install(Entry& slot, unsigned level, std::uint64_t iova,
                                    FaultPoints& faults, std::optional<Refusal>& refusal) {
        Entry seen = load(slot);
        if (!F::present(seen)) {
            const auto fresh = new_table(faults);
            if (!fresh) {
                refusal = fresh.error();
                return 0;
            }
            const Entry entry = F::make_table(*fresh, level - 1);
            if (std::atomic_ref(slot).compare_exchange_strong(seen, entry,
                                                              std::memory_order_acq_rel)) {
                return entry;
            }
            release({*fresh, *fresh, 1});
        }
        if (F::leaf(seen, level)) {
            refusal = refuse(EEXIST, "iova {:x} lies in a larger page that is mapped already",
                             kSource, iova)
                          .error();
            return 0;
        }
        return seen;
    }

    // Links a table and all tables below it, for release().
    void take_subtree(FrameMap map, PhysAddr table, unsigned level, FrameChain& freed) {
        if (level != 0) {
            Entry* const row = entries(map, table);
            for (std::uint64_t index = 0; index < kEntries; ++index) {
                const Entry entry = load(row[index]);
                if (!F::present(entry) || F::leaf(entry, level)) {
                    continue;
                }
                if (level == 1) {
                    memory_.push(freed, F::address(entry));  // all leaves: nothing to look for
                } else {
                    take_subtree(map, F::address(entry), level - 1, freed);
                }
            }
        }
        memory_.push(freed, table);
    }

    bool maps_anything(FrameMap map, PhysAddr table, unsigned level) const {
        Entry* const row = entries(map, table);
        for (std::uint64_t index = 0; index < kEntries; ++index) {
            const Entry entry = load(row[index]);
            if (F::present(entry) &&
                (F::leaf(entry, level) || maps_anything(map, F::address(entry), level - 1))) {
                return true;
            }
        }
        return false;
    }

    // --- mapping ---

    // The entry for `iova` in the table of `level`, when every table above is there; else null.
    Entry* find(FrameMap map, Top top, std::uint64_t iova, unsigned level) const {
        PhysAddr table = root_of(top, iova);
        for (unsigned at = top.levels - 1; at > level; --at) {
            const Entry entry = load(*entry_at(map, table, index_of(iova, at)));
            if (!F::present(entry) || F::leaf(entry, at)) [[unlikely]] {
                return nullptr;
            }
            table = F::address(entry);
        }
        return entry_at(map, table, index_of(iova, level));
    }

    // What most calls are: one page that fills one entry of a table that is there. False: it is
    // not so, and nothing was done.
    bool map_one(std::uint64_t iova, PhysAddr address, std::uint64_t page_size,
                 std::uint32_t protection, Attributes attributes) {
        const unsigned level = level_of(page_size);
        const Top top = this->top();
        if ((protection & (kRead | kWrite)) == 0 || level >= top.levels || !reaches(top, iova) ||
            page_size != span(level)) [[unlikely]] {
            return false;
        }
        Entry* const entry = find(memory_.frame_map(), top, iova, level);
        if (entry == nullptr || load(*entry) != 0) [[unlikely]] {
            return false;
        }
        store(*entry, F::make_leaf(address, page_size, protection, attributes));
        return true;
    }

    [[gnu::noinline]] Mapped map_run(std::uint64_t iova, PhysAddr address, std::uint64_t page_size,
                                     std::uint64_t count, std::uint32_t protection,
                                     Attributes attributes, FaultPoints& faults) {
        Mapped mapped;
        const std::uint64_t last = iova + (page_size * count - 1);
        const unsigned level = level_of(page_size);
        Top top = this->top();
        if ((protection & (kRead | kWrite)) == 0 || last < iova || !reaches(top, last) ||
            level >= top.levels) [[unlikely]] {
            mapped.refusal = prepare(top, iova, last, level, protection, faults);
            if (mapped.refusal) {
                return mapped;
            }
        }
        const std::uint64_t filled = entries_of(page_size, level);
        const FrameMap map = memory_.frame_map();
        do {
            const std::uint64_t at = iova + mapped.bytes;
            Entry* const row = row_for(map, top, at, level, faults, mapped.refusal);
            if (row == nullptr) [[unlikely]] {
                break;
            }
            // As many as this table has room for; page by page where something is in the way.
            const std::uint64_t index = index_of(at, level);
            std::uint64_t run = std::min(count, (kEntries - index) >> std::countr_zero(filled));
            if (wide::scan(row + index, run * filled).any != 0) [[unlikely]] {
                run = 1;
                mapped.refusal = make_way(map, row, index, filled, level, at);
                if (mapped.refusal) {
                    break;
                }
            }
            const Entry leaf =
                F::make_leaf(address + mapped.bytes, page_size, protection, attributes);
            const Entry next =
                F::make_leaf(address + mapped.bytes + page_size, page_size, protection, attributes);
            fill(row + index, run, filled, leaf, next - leaf);
            mapped.bytes += run * page_size;
            count -= run;
        } while (count != 0);
        return mapped;
    }

    // In the way of large pages may be tables that map nothing any more: unmaps that did not cover
    // their span have left them.
    [[gnu::noinline]] std::optional<Refusal> make_way(FrameMap map, Entry* row, std::uint64_t index,
                                                      std::uint64_t count, unsigned level,
                                                      std::uint64_t iova) {
        const auto in_the_way = [&](Entry entry) {
            return F::present(entry) &&
                   (F::leaf(entry, level) || maps_anything(map, F::address(entry), level - 1));
        };
        for (std::uint64_t at = index; at < index + count; ++at) {
            if (in_the_way(load(row[at]))) {
                return refuse(EEXIST, "iova {:x}, or what is behind it, is mapped already", kSource,
                              iova + (at - index) * span(level))
                    .error();
            }
        }
        FrameChain freed;
        for (std::uint64_t at = index; at < index + count; ++at) {
            const Entry old = load(row[at]);
            store(row[at], 0);
            if (F::present(old)) {
                take_subtree(map, F::address(old), level - 1, freed);
            }
        }
        release(freed);
        return std::nullopt;
    }

    // `count` pages of `filled` entries each; from page to page an entry grows by `step`.
    static void fill(Entry* row, std::uint64_t count, std::uint64_t filled, Entry leaf,
                     Entry step) {
        if (filled == 1) {
            wide::fill(row, count, leaf, step);
            return;
        }
        for (std::uint64_t page = 0; page < count; ++page, row += filled, leaf += step) {
            wide::fill(row, filled, leaf, 0);
        }
    }

    // --- unmapping ---

    // As map_one().
    bool unmap_one(std::uint64_t iova, std::uint64_t page_size) {
        const unsigned level = level_of(page_size);
        const Top top = this->top();
        if (level >= top.levels || !reaches(top, iova) || page_size != span(level)) [[unlikely]] {
            return false;
        }
        Entry* const entry = find(memory_.frame_map(), top, iova, level);
        if (entry == nullptr) [[unlikely]] {
            return false;
        }
        const Entry old = load(*entry);
        if (!F::present(old) || !F::plain_leaves(old, old, level)) [[unlikely]] {
            return false;
        }
        store(*entry, 0);
        return true;
    }

    [[gnu::noinline]] std::uint64_t unmap_run(std::uint64_t iova, std::uint64_t bytes) {
        const Top top = this->top();
        const FrameMap map = memory_.frame_map();
        FrameChain freed;
        std::uint64_t done = 0;
        for (std::uint64_t at = iova; done < bytes && reaches(top, at);) {
            const unsigned whole = whole_bits(at, bytes - done);
            // Down to an entry that goes as a whole,
            unsigned level = top.levels - 1;
            Entry* row = entries(map, root_of(top, at));
            std::uint64_t index = index_of(at, level);
            Entry entry = load(row[index]);
            while (F::present(entry) && !goes_whole(entry, level, whole)) {
                row = entries(map, F::address(entry));
                --level;
                index = index_of(at, level);
                entry = load(row[index]);
            }
            if (!F::present(entry)) [[unlikely]] {
                break;
            }
            // and along the table with it as far as they do.
            const std::uint64_t from = at;
            if (!clear_along(map, row, index, level, entry, at, bytes, done, freed) || at <= from)
                [[unlikely]] {
                break;  // a hole, or the end of the space
            }
        }
        if (freed.count != 0) {
            release(freed);
        }
        return done;
    }

    // Does a present entry go as it is? A leaf always does, a table when all of its span is in
    // the range that goes: its start and what is left of it are multiples of so many bits.
    static bool goes_whole(Entry entry, unsigned level, unsigned whole) {
        return F::leaf(entry, level) || shift_of(level) <= whole;
    }
    static unsigned whole_bits(std::uint64_t iova, std::uint64_t bytes) {
        const auto aligned = static_cast<unsigned>(std::countr_zero(iova));
        return std::min(aligned, static_cast<unsigned>(std::bit_width(bytes)) - 1);
    }

    // Takes entries out of a table from `entry` on, which goes whole and lies at `at`, until
    // `done` is `bytes` or the table ends or an entry goes not whole. False: it met a hole.
    bool clear_along(FrameMap map, Entry* row, std::uint64_t index, unsigned level, Entry entry,
                     std::uint64_t& at, std::uint64_t bytes, std::uint64_t& done,
                     FrameChain& freed) {
        const std::uint64_t run = std::min((bytes - done) >> shift_of(level), kEntries - index);
        if (run >= wide::kShort) {
            const auto [all, any] = wide::scan(row + index, run);
            if (F::plain_leaves(all, any, level)) {
                wide::fill(row + index, run, 0, 0);
                at += run << shift_of(level);
                done += run << shift_of(level);
                return true;
            }
        }
        for (;;) {
            const std::uint64_t gone = clear(map, row, level, index, entry, freed);
            at = align_down(at, gone) + gone;
            done += gone;
            index = align_down(index, entries_of(gone, level)) + entries_of(gone, level);
            if (index >= kEntries || done >= bytes) {
                return true;
            }
            entry = load(row[index]);
            if (!F::present(entry)) {
                return false;
            }
            if (!goes_whole(entry, level, whole_bits(at, bytes - done))) {
                return true;
            }
        }
    }

    // Takes an entry out of its table with all that belongs to it. Answers the bytes that it stood
    // for.
    std::uint64_t clear(FrameMap map, Entry* row, unsigned level, std::uint64_t index, Entry entry,
                        FrameChain& freed) {
        if (!F::leaf(entry, level)) {
            store(row[index], 0);
            take_subtree(map, F::address(entry), level - 1, freed);
            return span(level);
        }
        if constexpr (!F::kRuns) {
            store(row[index], 0);
            return span(level);
        } else {
            const std::uint64_t page_size = F::leaf_size(entry, level);
            const std::uint64_t filled = entries_of(page_size, level);
            wide::fill(row + align_down(index, filled), filled, 0, 0);
            return page_size;
        }
    }

    mm::PhysicalMemory& memory_;
    const unsigned most_levels_;
    const unsigned more_bits_;  // of concatenated tables in the place of the root
    // The root's address and, in the bits of an offset into it, the number of levels: one word, so
    // that both are always seen together.
    std::atomic<std::uint64_t> top_;
    std::atomic<std::uint64_t> tables_;
};

}  // namespace kvmiommu::iommu::pgtable
