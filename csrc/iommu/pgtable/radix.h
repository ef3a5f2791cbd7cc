// SPDX-License-Identifier: MIT
//
// The walker of every page-table format: mapping and unmapping. A row is several entries next to
// each other in a table.
//
// No lock is taken. A table is installed by compare-and-swap, a leaf is a plain store of a whole
// entry: callers own the ranges that they map and unmap. A table is freed only by an unmap or a
// larger leaf that covers all of its span, so that no other caller can be inside it. A tree that
// grows gets a new root above the old one, which stays where it is, and a walk that began at the
// old one is right.

#pragma once

#include <algorithm>
#include <atomic>
#include <bit>
#include <cassert>
#include <concepts>
#include <cstdint>
#include <optional>
#include <type_traits>
#include <utility>

#include "base/wide.h"
#include "iommu/pgtable/radix_tree.h"

namespace kvmiommu::iommu::pgtable {

template <Format F>
class RadixTable : public RadixTree<F> {
    using Tree = RadixTree<F>;

  public:
    using typename Tree::Entry;
    using typename Tree::Top;
    using Attributes = typename F::Attributes;
    using Shape = pgtable::Shape<F>;

    /// An empty tree.
    /// ENOMEM
    static Result<RadixTable> create(mm::PhysicalMemory& memory, const Shape& shape,
                                     FaultPoints& faults) {
        assert(0 < shape.levels && shape.levels <= shape.most_levels);
        assert(shape.most_levels <= F::Geometry::kMostLevels);
        assert(Grows<F> || shape.levels == shape.most_levels);
        assert(Splits<F> || shape.policy.partial_unmap != PartialUnmap::split);
        RadixTable table(memory, shape, 0);
        const PhysAddr root = TRY(table.allocate(table.root_order(shape.levels - 1), faults));
        table.top_.store(root | shape.levels, std::memory_order_relaxed);
        return table;
    }
    RadixTable(RadixTable&& other) noexcept = default;
    RadixTable& operator=(RadixTable&&) = delete;
    ~RadixTable() {
        const Top held = this->top();
        if (held.root == 0) {
            return;
        }
        const FrameMap map = map_;
        const unsigned level = held.levels - 1;
        FrameChain all{.order = order_of(0)};
        for (std::uint64_t each = 0; each < roots(); ++each) {
            take_below(map, held.root + (each << (mm::kFrameShift + order_of(level))), level, all);
        }
        memory_.free_frames(all);
        memory_.free_frames(held.root, root_order(level));
    }

    /// Domain::map_page(): a leaf of one entry, in a table that exists, in RAM without fragments.
    /// Inline, as the next two, or a domain's would be a jump to its table's.
    [[gnu::always_inline]] bool map_page(std::uint64_t iova, PhysAddr address,
                                         std::uint64_t page_size, std::uint32_t protection,
                                         Attributes attributes) {
        if ((protection & (kRead | kWrite)) == 0 || !leads_to(address)) [[unlikely]] {
            return false;
        }
        return at_level_of(page_size, [&] [[gnu::always_inline]] (std::uint64_t size, auto level) {
            Entry* const entry = find(iova, level);
            if (entry == nullptr || load(*entry) != 0) [[unlikely]] {
                return false;
            }
            store(*entry, F::make_leaf(address, size, protection, attributes));
            return true;
        });
    }

    /// Domain::map_row(), as map_page().
    [[gnu::always_inline]] bool map_row(std::uint64_t iova, PhysAddr address,
                                        std::uint64_t page_size, std::uint64_t count,
                                        std::uint32_t protection, Attributes attributes) {
        const std::uint64_t to_last = page_size * count - 1;
        const PhysAddr last_address = address + to_last;
        if ((protection & (kRead | kWrite)) == 0 || last_address < address ||
            !leads_to(last_address) || !this->reaches(this->top(), iova + to_last)) [[unlikely]] {
            return false;
        }
        if constexpr (HasBorders<F>) {
            if ((address ^ last_address) >> F::kLinearBits != 0) [[unlikely]] {
                return false;
            }
        }
        return at_level_of(page_size, [&] [[gnu::always_inline]] (std::uint64_t size, auto level) {
            Entry* const row = find_row(iova, level, count);
            if (row == nullptr) [[unlikely]] {
                return false;
            }
            const Entry leaf = F::make_leaf(address, size, protection, attributes);
            return fill_empty(row, count, leaf, F::leaf_step(size));
        });
    }

    /// Domain::map_pages().
    /// EINVAL neither the right to read nor to write
    /// ERANGE beyond the iovas of the tree, or the addresses of a leaf
    /// TablePolicy::overlap something is mapped already
    /// ENOMEM
    Mapped map_pages(std::uint64_t iova, PhysAddr address, std::uint64_t page_size,
                     std::uint64_t count, std::uint32_t protection, Attributes attributes,
                     FaultPoints& faults) {
        const std::uint64_t bytes = page_size * count;
        Mapped mapped;
        const std::uint64_t last = iova + (bytes - 1);
        const PhysAddr last_address = address + (bytes - 1);
        const unsigned level = level_of(page_size);
        Top top = this->top();
        if ((protection & (kRead | kWrite)) == 0 || last < iova || !this->reaches(top, iova) ||
            !this->reaches(top, last) || level >= top.levels || last_address < address ||
            !leads_to(last_address)) [[unlikely]] {
            mapped.refusal = prepare(top, iova, last, address, bytes, level, protection, faults);
            if (mapped.refusal) {
                return mapped;
            }
        }
        const std::uint64_t run = this->run_of(page_size, level);
        const std::uint64_t end = this->entries_in(level);
        const FrameMap map = map_;
        do {
            const std::uint64_t at = iova + mapped.bytes;
            const PhysAddr to = address + mapped.bytes;
            Entry* const row = row_for(map, top, at, level, faults, mapped.refusal);
            if (row == nullptr) [[unlikely]] {
                break;
            }
            // As many as this table has room for; if there are entries in the way, one.
            const std::uint64_t index = this->index_of(at, level);
            std::uint64_t pages = std::min(count, (end - index) >> std::countr_zero(run));
            if constexpr (HasBorders<F>) {
                const PhysAddr border = (to | low_mask(F::kLinearBits)) + 1;
                pages = std::min(pages, (border - to) >> std::countr_zero(page_size));
            }
            const Entry leaf = F::make_leaf(to, page_size, protection, attributes);
            pages = fill_runs(row + index, pages, run, leaf, F::leaf_step(page_size));
            if (pages == 0) [[unlikely]] {
                mapped.refusal = make_way(map, row, index, run, level, at);
                if (mapped.refusal) {
                    break;
                }
                pages = fill_runs(row + index, 1, run, leaf, 0);
            }
            mapped.bytes += pages * page_size;
            count -= pages;
        } while (count != 0);
        return mapped;
    }

    /// Domain::unmap_page(), as map_page(). A table goes with all below it.
    [[gnu::always_inline]] bool unmap_page(std::uint64_t iova, std::uint64_t page_size) {
        return at_level_of(page_size, [&] [[gnu::always_inline]] (std::uint64_t, auto level) {
            Entry* const entry = find(iova, level);
            if (entry == nullptr) [[unlikely]] {
                return false;
            }
            const Entry old = load(*entry);
            if (F::plain_leaf(old, level)) [[likely]] {
                store(*entry, 0);
                return true;
            }
            return names_table(old, level) && clear_table(*entry, old, level);
        });
    }

    /// An entry of level 0, for a driver that reads and writes entries itself.
    class Cell {
      public:
        explicit Cell(Entry* place) : place_(place) {}
        /// Is there an entry?
        explicit operator bool() const { return place_ != nullptr; }
        Entry load() const { return Tree::load(*place_); }
        void store(Entry entry) const { Tree::store(*place_, entry); }
        /// Stores an entry and returns the one before.
        Entry exchange(Entry entry) const {
            return in_order(std::atomic_ref<Entry>(*place_).exchange(in_order(entry),
                                                                     std::memory_order_acq_rel));
        }
        /// Stores an entry if the one before is `expected`; false: sets `expected` to that one.
        bool compare_exchange(Entry& expected, Entry entry) const {
            Entry seen = in_order(expected);
            const bool put = std::atomic_ref<Entry>(*place_).compare_exchange_strong(
                seen, in_order(entry), std::memory_order_acq_rel);
            expected = in_order(seen);
            return put;
        }

      private:
        Entry* place_;
    };
    /// The entry of level 0 for an iova; none where there is no table.
    Cell cell(std::uint64_t iova) const { return Cell(this->entry_in(iova)); }
    /// The same, with tables allocated where there are none.
    /// ERANGE beyond the iovas of the tree
    /// ENOMEM
    Result<Cell> make_cell(std::uint64_t iova, FaultPoints& faults) {
        const Top top = this->top();
        if (!this->reaches(top, iova)) [[unlikely]] {
            return std::unexpected(*beyond(iova));
        }
        std::optional<Refusal> refusal;
        Entry* const row = row_for(map_, top, iova, 0, faults, refusal);
        if (row == nullptr) {
            return std::unexpected(*refusal);
        }
        return Cell(row + this->index_of(iova, 0));
    }

    /// Domain::unmap_pages(). The policy decides what happens to a leaf that the range covers a
    /// part of. A table that the range covers is freed without a look at its entries: holes in it
    /// count.
    std::uint64_t unmap_pages(std::uint64_t iova, std::uint64_t page_size, std::uint64_t count,
                              FaultPoints& faults) {
        const std::uint64_t bytes = page_size * count;
        if (unmap_row(iova, page_size, count)) [[likely]] {
            return bytes;
        }
        const Top top = this->top();
        const FrameMap map = map_;
        FrameChain freed{.order = order_of(0)};
        std::uint64_t done = 0;
        for (std::uint64_t at = iova; done < bytes && this->reaches(top, at);) {
            const std::uint64_t left = bytes - done;
            const unsigned whole = whole_bits(at, left);
            // Down to an entry that goes whole,
            unsigned level = top.levels - 1;
            Entry* row = entries(map, this->root_of(top, at));
            std::uint64_t index = this->index_of(at, level);
            Entry entry = load(row[index]);
            while (F::present(entry) && !goes_whole(entry, level, whole, at, left)) {
                if (!names_table(entry, level)) {
                    if (!split(map, row, index, level, entry, faults)) {
                        entry = 0;
                        break;
                    }
                } else {
                    row = entries(map, F::address(entry, level));
                    --level;
                    index = this->index_of(at, level);
                }
                entry = load(row[index]);
            }
            if (!F::present(entry)) [[unlikely]] {
                break;
            }
            // and along its table up to one that does not.
            const std::uint64_t from = at;
            if (!clear_along(map, row, index, level, entry, at, bytes, done, freed) || at <= from)
                [[unlikely]] {
                break;  // a hole, or the end of the space
            }
        }
        if (freed.count != 0) {
            memory_.free_frames(freed);
        }
        return done;
    }

  private:
    using Tree::entries;
    using Tree::exchange;
    using Tree::geometry_;
    using Tree::in_order;
    using Tree::is_leaf;
    using Tree::kSource;
    using Tree::level_of;
    using Tree::load;
    using Tree::map_;
    using Tree::memory_;
    using Tree::names_table;
    using Tree::order_of;
    using Tree::policy_;
    using Tree::roots;
    using Tree::store;
    using Tree::top_;

    RadixTable(mm::PhysicalMemory& memory, const Shape& shape, PhysAddr root)
        : Tree(memory, shape, root) {}

    static bool leads_to(PhysAddr address) { return address >> F::kOutputBits == 0; }

    // --- rows ---

    // Stores entries, each `step` more than the one before, if all are empty. False: nothing was
    // done.
    static bool fill_empty(Entry* row, std::uint64_t count, Entry first, Entry step) {
        constexpr Entry kAll = static_cast<Entry>(~Entry{0});
        if constexpr (F::kByteOrder == std::endian::native) {
            return wide::replace(row, count, 0, kAll, first, step);
        } else {
            return wide::replace_swapped(row, count, 0, kAll, first, step);
        }
    }
    // The same for leaves that fill `run` entries each. Returns how many were stored, up to an
    // entry that is not empty.
    static std::uint64_t fill_runs(Entry* row, std::uint64_t count, std::uint64_t run, Entry leaf,
                                   Entry step) {
        if (run == 1) {
            return fill_empty(row, count, leaf, step) ? count : 0;
        }
        std::uint64_t done = 0;
        while (done < count && fill_empty(row, run, leaf, 0)) {
            ++done;
            row += run;
            leaf += step;
        }
        return done;
    }
    // Clears a row if all its entries are leaves of one entry. False: nothing was done.
    static bool clear_leaves(Entry* row, std::uint64_t count, unsigned level) {
        const Entry first = load(*row);
        return F::plain_leaf(first, level) &&
               wide::replace(row, count, in_order(first), in_order(F::kind_bits(first, level)), 0,
                             0);
    }
    static void clear_row(Entry* row, std::uint64_t count) { wide::fill(row, count, 0, 0); }

    // --- tables ---

    Result<PhysAddr> allocate(unsigned order, FaultPoints& faults) {
        if (faults.fails()) {
            return refuse(ENOMEM, "a page table could not be allocated: told to fail",
                          Source{"drivers/iommu/iommu-pages.h: iommu_alloc_pages_node"});
        }
        const PhysAddr table = TRY(memory_.allocate_frames(order));
        if constexpr (HasTableLimit<F>) {
            if (table >> F::kTableBits != 0) {
                memory_.free_frames(table, order);
                return refuse(ENOMEM, "a table at {:x} is out of reach of {} bits", kSource, table,
                              F::kTableBits);
            }
        }
        return table;
    }
    // The tables of a root are one block of frames; those below are all of one size.
    unsigned root_order(unsigned level) const {
        return order_of(level) + static_cast<unsigned>(std::countr_zero(roots()));
    }

    Result<PhysAddr> new_table(FaultPoints& faults) { return allocate(order_of(0), faults); }
    void release(PhysAddr table) { memory_.free_frames(table, order_of(0)); }

    // A map is refused, or the tree must grow until it reaches `last` and has the level.
    [[gnu::noinline]] std::optional<Refusal> prepare(Top& top, std::uint64_t iova,
                                                     std::uint64_t last, PhysAddr address,
                                                     std::uint64_t bytes, unsigned level,
                                                     std::uint32_t protection,
                                                     FaultPoints& faults) {
        if ((protection & (kRead | kWrite)) == 0) {
            return refuse(EINVAL, "iova {:x} would be neither readable nor writable", kSource, iova)
                .error();
        }
        if (last < iova) {
            return refuse(ERANGE, "the pages from iova {:x} on wrap", kSource, iova).error();
        }
        if (address + (bytes - 1) < address || !leads_to(address + (bytes - 1))) {
            return refuse(ERANGE, "{:x} bytes from address {:x} on are beyond {} bits", kSource,
                          bytes, address, F::kOutputBits)
                .error();
        }
        if constexpr (Grows<F>) {
            if (last > this->mask_ || level >= this->most_levels_) {
                return beyond(last);
            }
            while (!this->reaches(top, last) || level >= top.levels) {
                if (const auto refusal = grow(top, faults)) {
                    return refusal;
                }
            }
        } else if (!this->reaches(top, last) || !this->reaches(top, iova) || level >= top.levels) {
            return beyond(last);
        }
        return std::nullopt;
    }
    std::optional<Refusal> beyond(std::uint64_t iova) const {
        return refuse(ERANGE, "iova {:x} is beyond the {} bits of the table", kSource, iova,
                      std::bit_width(this->mask_))
            .error();
    }
    std::optional<Refusal> grow(Top& top, FaultPoints& faults) {
        const auto root = new_table(faults);
        if (!root) {
            return root.error();
        }
        store(entries(map_, *root)[0], F::make_table(top.root, top.levels - 1));
        std::uint64_t expected = top.root | top.levels;
        if (!top_.compare_exchange_strong(expected, *root | (top.levels + 1),
                                          std::memory_order_acq_rel)) {
            release(*root);
        }
        top = this->top();
        return std::nullopt;
    }

    // The table of `level` for `iova`, allocated where there is none; null with a refusal.
    Entry* row_for(FrameMap map, Top top, std::uint64_t iova, unsigned level, FaultPoints& faults,
                   std::optional<Refusal>& refusal) {
        Entry* row = entries(map, this->root_of(top, iova));
        for (unsigned at = top.levels - 1; at > level; --at) {
            Entry& slot = row[this->index_of(iova, at)];
            Entry entry = load(slot);
            if (!F::names_table(entry, at)) [[unlikely]] {
                entry = install(slot, at, iova, faults, refusal);
                if (entry == 0) {
                    return nullptr;
                }
            }
            row = entries(map, F::address(entry, at));
        }
        return row;
    }

    // Installs a new table in an entry of `level`, or returns the one that was installed meanwhile.
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
            if (exchange(slot, seen, entry)) {
                return entry;
            }
            release(*fresh);
        }
        if (is_leaf(seen, level)) {
            refusal =
                refuse(policy_.overlap, "iova {:x} lies in a larger page that is mapped already",
                       kSource, iova)
                    .error();
            return 0;
        }
        return seen;
    }

    // Adds a table and all tables below it to a chain of frames to free.
    void take_subtree(FrameMap map, PhysAddr table, unsigned level, FrameChain& freed) {
        take_below(map, table, level, freed);
        memory_.push(freed, table);
    }
    void take_below(FrameMap map, PhysAddr table, unsigned level, FrameChain& freed) {
        if (level == 0) {
            return;
        }
        Entry* const row = entries(map, table);
        for (std::uint64_t index = 0; index < this->entries_in(level); ++index) {
            const Entry entry = load(row[index]);
            if (!F::names_table(entry, level)) {
                continue;
            }
            if (level == 1) {  // no tables below
                memory_.push(freed, F::address(entry, level));
            } else {
                take_subtree(map, F::address(entry, level), level - 1, freed);
            }
        }
    }

    bool maps_anything(FrameMap map, PhysAddr table, unsigned level) const {
        Entry* const row = entries(map, table);
        for (std::uint64_t index = 0; index < this->entries_in(level); ++index) {
            const Entry entry = load(row[index]);
            if (F::present(entry) && (!names_table(entry, level) ||
                                      maps_anything(map, F::address(entry, level), level - 1))) {
                return true;
            }
        }
        return false;
    }

    // Returns act(page size, level) for pages of one entry; false for any other. Of the usual sizes
    // both are constants, and the compiler unrolls the walk.
    template <unsigned kLevel = 0>
    [[gnu::always_inline]] bool at_level_of(std::uint64_t page_size, auto&& act) const {
        constexpr unsigned kMostKnown = std::min(3u, Tree::kUnrolls ? Tree::kMostLevels : 1);
        if constexpr (kLevel < kMostKnown) {
            if (page_size == this->span(kLevel)) [[likely]] {
                return act(this->span(kLevel), std::integral_constant<unsigned, kLevel>{});
            }
            return at_level_of<kLevel + 1>(page_size, act);
        } else {
            const unsigned level = level_of(page_size);
            return page_size == this->span(level) && act(page_size, level);
        }
    }

    // The table at the address of an entry, which the caller owns. Where such entries are the
    // address plus constant bits (the hardware marks leaves alone), the constant is subtracted
    // together with the index, before the entry is loaded; a mask would have to wait for it.
    static PhysAddr table_of(Entry entry, unsigned level) {
        constexpr PhysAddr kHighest = align_down(low_mask(F::kOutputBits), mm::kFrameSize);
        if constexpr (F::make_table(kHighest, 0) == F::make_table(0, 0) + kHighest) {
            return entry - F::make_table(0, level - 1);
        } else {
            return F::address(entry, level);
        }
    }

    // The entry of a level for an iova; null if a table above is missing.
    [[gnu::always_inline]] Entry* find(std::uint64_t iova, auto level) const {
        const Top top = this->top();
        if (!map_.is_linear() || (level != 0 && level >= top.levels) || !this->reaches(top, iova))
            [[unlikely]] {
            return nullptr;
        }
        return this->with_usual_levels(
            top, [&] [[gnu::always_inline]] (Top known) { return find_below(known, iova, level); });
    }
    [[gnu::always_inline]] Entry* find_below(Top top, std::uint64_t iova, auto level) const {
        const mm::LinearMap map = map_.linear();
        Entry* place = this->root_entry(map, top, iova);
        constexpr bool kKnown = !std::same_as<decltype(level), unsigned>;
        for (unsigned at = kKnown ? this->highest_level(top) : top.levels - 1; at != level; --at) {
            if (kKnown && this->lacks(top, at)) {
                continue;
            }
            const Entry entry = load(*place);
            if (!F::names_table(entry, at)) [[unlikely]] {
                return nullptr;
            }
            place = this->entry_at(map, table_of(entry, at), this->index_of(iova, at - 1));
        }
        return place;
    }

    // As find(), of a row of `count` entries; null if its table ends before.
    [[gnu::always_inline]] Entry* find_row(std::uint64_t iova, auto level,
                                           std::uint64_t count) const {
        return count <= this->entries_in(level) - this->index_of(iova, level) ? find(iova, level)
                                                                              : nullptr;
    }
    // unmap_pages() of a row of leaves; false: nothing was done. A table that goes whole is none.
    [[gnu::always_inline]] bool unmap_row(std::uint64_t iova, std::uint64_t page_size,
                                          std::uint64_t count) {
        const auto clear = [&] [[gnu::always_inline]] (std::uint64_t length, auto level) {
            Entry* const row =
                length == this->entries_in(level) ? nullptr : find_row(iova, level, length);
            return row != nullptr && clear_leaves(row, length, level);
        };
        if (page_size == this->span(0)) [[likely]] {
            return clear(count, std::integral_constant<unsigned, 0>{});
        }
        // In the place of one run there may be as many leaves of one entry.
        const unsigned level = level_of(page_size);
        return clear(page_size * count >> this->shift_of(level), level);
    }

    // Frees empty tables in the place of a leaf, which unmaps of parts of their span have left.
    // Refuses if one of the entries maps something.
    [[gnu::noinline]] std::optional<Refusal> make_way(FrameMap map, Entry* row, std::uint64_t index,
                                                      std::uint64_t count, unsigned level,
                                                      std::uint64_t iova) {
        const auto in_the_way = [&](Entry entry) {
            return F::present(entry) && (!names_table(entry, level) ||
                                         maps_anything(map, F::address(entry, level), level - 1));
        };
        for (std::uint64_t at = index; at < index + count; ++at) {
            if (in_the_way(load(row[at]))) {
                return refuse(policy_.overlap, "iova {:x}, or what is behind it, is mapped already",
                              kSource, iova + (at - index) * this->span(level))
                    .error();
            }
        }
        FrameChain freed{.order = order_of(0)};
        for (std::uint64_t at = index; at < index + count; ++at) {
            const Entry old = load(row[at]);
            store(row[at], 0);
            if (F::present(old)) {
                take_subtree(map, F::address(old, level), level - 1, freed);
            }
        }
        memory_.free_frames(freed);
        return std::nullopt;
    }

    // --- unmapping ---

    // Does an entry go whole, in an unmap of `left` bytes from `at` on? A table does if the range
    // covers its span, which has at most `whole` bits then; a leaf as the policy says.
    bool goes_whole(Entry entry, unsigned level, unsigned whole, std::uint64_t at,
                    std::uint64_t left) const {
        return names_table(entry, level)
                   ? this->shift_of(level) <= whole
                   : policy_.partial_unmap == PartialUnmap::whole ||
                         leaf_goes_whole(this->page_size_of(entry, level), at, left);
    }
    bool leaf_goes_whole(std::uint64_t page_size, std::uint64_t at, std::uint64_t left) const {
        return is_aligned(at, page_size) &&
               (page_size <= left || policy_.partial_unmap == PartialUnmap::whole_from_start);
    }
    static unsigned whole_bits(std::uint64_t at, std::uint64_t left) {
        return static_cast<unsigned>(
            std::min(std::countr_zero(at), static_cast<int>(std::bit_width(left)) - 1));
    }

    // Replaces a leaf by leaves of the next smaller size. False: the policy does not split, or
    // there is no memory.
    [[gnu::noinline]] bool split(FrameMap map, Entry* row, std::uint64_t index, unsigned level,
                                 Entry leaf, FaultPoints& faults) {
        if constexpr (!Splits<F>) {
            return false;
        } else {
            if (policy_.partial_unmap != PartialUnmap::split) {
                return false;
            }
            const std::uint64_t page_size = this->page_size_of(leaf, level);
            const PhysAddr address = align_down(F::address(leaf, level), page_size);
            const std::uint64_t run = this->run_of(page_size, level);
            if (run > 1) {  // into leaves of one entry each
                const std::uint64_t size = this->span(level);
                for (std::uint64_t at = 0; at < run; ++at) {
                    store(row[align_down(index, run) + at],
                          F::smaller_leaf(leaf, page_size, address + at * size, size));
                }
                return true;
            }
            const auto table = new_table(faults);
            if (!table) {
                return false;
            }
            const std::uint64_t size = this->span(level - 1);
            Entry* const below = entries(map, *table);
            for (std::uint64_t at = 0; at < this->entries_in(level - 1); ++at) {
                store(below[at], F::smaller_leaf(leaf, page_size, address + at * size, size));
            }
            if (!exchange(row[index], leaf, F::make_table(*table, level - 1))) {
                release(*table);  // the leaf has changed: the caller loads it again
            }
            return true;
        }
    }

    // Clears entries from `entry` on, which is at `at` and goes whole, until `done` is `bytes`, the
    // table ends, or an entry does not go whole. False: it met a hole.
    bool clear_along(FrameMap map, Entry* row, std::uint64_t index, unsigned level, Entry entry,
                     std::uint64_t& at, std::uint64_t bytes, std::uint64_t& done,
                     FrameChain& freed) {
        const std::uint64_t end = this->entries_in(level);
        const std::uint64_t count = std::min((bytes - done) >> this->shift_of(level), end - index);
        if (count >= wide::kShort) {
            if (clear_leaves(row + index, count, level)) {
                at += count << this->shift_of(level);
                done += count << this->shift_of(level);
                return true;
            }
        }
        for (;;) {
            const std::uint64_t gone = clear(map, row, level, index, entry, freed);
            at = align_down(at, gone) + gone;
            done += gone;
            const std::uint64_t passed = gone >> this->shift_of(level);
            index = align_down(index, passed) + passed;
            if (index >= end || done >= bytes) {
                return true;
            }
            entry = load(row[index]);
            if (!F::present(entry)) {
                return false;
            }
            const std::uint64_t left = bytes - done;
            if (!goes_whole(entry, level, whole_bits(at, left), at, left)) {
                return true;
            }
        }
    }

    // Clears an entry and frees its table with all tables below it.
    [[gnu::noinline]] bool clear_table(Entry& entry, Entry old, unsigned level) {
        store(entry, 0);
        if (level == 1) {
            release(F::address(old, level));
            return true;
        }
        FrameChain freed{.order = order_of(0)};
        take_subtree(map_, F::address(old, level), level - 1, freed);
        memory_.free_frames(freed);
        return true;
    }

    // Clears an entry with its run, or with the tables below it. Returns the bytes that it mapped.
    std::uint64_t clear(FrameMap map, Entry* row, unsigned level, std::uint64_t index, Entry entry,
                        FrameChain& freed) {
        if (names_table(entry, level)) {
            store(row[index], 0);
            take_subtree(map, F::address(entry, level), level - 1, freed);
            return this->span(level);
        }
        const std::uint64_t page_size = this->page_size_of(entry, level);
        const std::uint64_t run = this->run_of(page_size, level);
        if (run == 1) {
            store(row[index], 0);
        } else {
            clear_row(row + align_down(index, run), run);
        }
        return page_size;
    }
};

}  // namespace kvmiommu::iommu::pgtable
