// SPDX-License-Identifier: MIT
//
// A tree of tables in the machine's RAM: its geometry, its entries, and what only reads or marks
// them. Mapping and unmapping are in radix.h.
//
// No lock is taken. A device may walk while the range is unmapped and its tables are freed and used
// for something else, so an address is checked before it is followed.

#pragma once

#include <algorithm>
#include <atomic>
#include <bit>
#include <cassert>
#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

#include "base/base.h"
#include "iommu/domain.h"
#include "iommu/pgtable/format.h"
#include "iommu/pgtable/policy.h"
#include "iommu/walk.h"
#include "mm/physical_memory.h"

namespace kvmiommu::iommu::pgtable {

using mm::FrameChain;
using mm::FrameMap;

/// The parameters of a tree.
template <Format F>
struct Shape {
    /// Levels at first and, where the format grows, at most.
    unsigned levels;
    unsigned most_levels = levels;
    /// Bits of an iova; 0 stands for all that the levels translate. A format that concatenates may
    /// have more than that.
    unsigned iova_bits = 0;
    TablePolicy policy{};
    typename F::Geometry geometry{};
};

/// A tree that does not grow, with as many levels as `bits` bits of iova need.
template <Format F>
Shape<F> shape_for(unsigned bits, TablePolicy policy = {}) {
    const typename F::Geometry geometry;
    unsigned levels = 1;
    while (geometry.shift_of(levels) < bits) {
        ++levels;
    }
    // A root of several tables instead of a fourth level (drivers/iommu/io-pgtable-arm.c:
    // arm_64_lpae_alloc_pgtable_s2).
    if constexpr (Concatenates<F>) {
        if (levels == 4 && bits - geometry.shift_of(3) <= F::kMostMoreBits) {
            levels = 3;
        }
    }
    return {levels, levels, bits, policy, geometry};
}

template <Format F>
class RadixTree {
  public:
    using Entry = typename F::Entry;
    using Geometry = typename F::Geometry;

    /// The root and the number of levels, the root's included.
    struct Top {
        PhysAddr root;
        unsigned levels;
    };
    /// As in the hardware's context entry; a tree that grows changes it.
    Top top() const {
        const std::uint64_t packed = top_.load(std::memory_order_acquire);
        return {align_down(packed, mm::kFrameSize),
                static_cast<unsigned>(packed & (mm::kFrameSize - 1))};
    }

    /// Bytes of page-table memory in use, counted by a walk; an estimate while others map and
    /// unmap.
    std::uint64_t table_bytes() const {
        const Top top = this->top();
        const unsigned level = top.levels - 1;
        const std::uint64_t size = mm::kFrameSize << order_of(level);
        std::uint64_t bytes = 0;
        for (std::uint64_t each = 0; each < roots(); ++each) {
            bytes += size + bytes_below(top.root + each * size, level);
        }
        return bytes;
    }

    /// Domain::iova_to_phys().
    PhysAddr iova_to_phys(std::uint64_t iova) const {
        const Top top = this->top();
        if (!reaches(top, iova)) [[unlikely]] {
            return 0;
        }
        if (!map_.is_linear()) [[unlikely]] {
            return iova_to_phys_in_fragments(top, iova);
        }
        if constexpr (kUnrolls) {
            return with_usual_levels(
                top, [&] [[gnu::always_inline]] (Top known) { return look_up(known, iova); });
        } else {
            return look_up_with(top, iova);
        }
    }

    /// Domain::translate().
    std::optional<Translation> translate(std::uint64_t iova) const {
        const Top top = this->top();
        if (!reaches(top, iova)) {
            return std::nullopt;
        }
        const Place place = descend(top, iova);
        if (!F::present(place.entry)) {
            return std::nullopt;
        }
        const std::uint64_t offset = page_size_of(place.entry, place.level) - 1;
        return Translation{address_of(place.entry, place.level, iova),
                           F::protection(place.entry, place.level),
                           {iova & ~offset, iova | offset}};
    }

    /// The bytes from an iova on that no table of level 0 maps; 0: one does.
    std::uint64_t bytes_without_table(std::uint64_t iova) const {
        const Top top = this->top();
        if (!reaches(top, iova)) {
            return 0;
        }
        const Place place = descend(top, iova);
        return place.row == nullptr || place.level == 0
                   ? 0
                   : align_down(iova, span(place.level)) + span(place.level) - iova;
    }

    /// Domain::walk(); none for an iova that the tree does not reach.
    std::vector<WalkStep> walk(std::uint64_t iova) const {
        std::vector<WalkStep> steps;
        const Top top = this->top();
        if (!reaches(top, iova)) {
            return steps;
        }
        PhysAddr table = root_of(top, iova);
        for (unsigned level = top.levels - 1;; --level) {
            const std::uint64_t index = index_of(iova, level);
            const Entry entry = load(*entry_at(map_, table, index));
            steps.push_back(step_of(level, table, index, entry));
            if (steps.back().kind != WalkStep::Kind::table ||
                !is_table(map_, steps.back().address, level - 1)) {
                return steps;
            }
            table = steps.back().address;
        }
    }

    /// Calls visit(iova, page size) for each dirty leaf with a byte in [first, last] and, if asked
    /// to, makes it clean.
    template <class Visit>
    void each_dirty(std::uint64_t first, std::uint64_t last, bool make_clean, Visit&& visit)
        requires HasDirty<F>
    {
        const Top top = this->top();
        for (std::uint64_t at = first; at <= last && reaches(top, at);) {
            const Place place = descend(top, at);
            std::uint64_t size = span(place.level);
            if (F::present(place.entry)) {
                size = page_size_of(place.entry, place.level);
                if (take_dirty(place, size, make_clean)) {
                    visit(align_down(at, size), size);
                }
            }
            at = align_down(at, size) + (size - 1);
            if (at++ == ~std::uint64_t{0}) {
                return;
            }
        }
    }

    /// Makes the leaf at an iova dirty, as the hardware does when a device writes.
    void mark_dirty(std::uint64_t iova)
        requires HasDirty<F>
    {
        const Top top = this->top();
        if (!reaches(top, iova)) {
            return;
        }
        const Place place = descend(top, iova);
        Entry entry = place.entry;
        // If the leaf is unmapped meanwhile, or replaced by a table, there is nothing to mark.
        while (is_leaf(entry, place.level) && !F::dirty(entry) &&
               !exchange(place.row[place.index], entry, F::make_dirty(entry))) {
        }
    }

  protected:
    static constexpr unsigned kEntryShift = std::countr_zero(sizeof(Entry));
    static constexpr Source kSource{"kvmiommu: iommu/pgtable/radix.h"};
    static constexpr unsigned kMostLevels = Geometry::kMostLevels;
    // Does every table fit into a frame?
    static constexpr bool kOneFrame =
        requires { requires Geometry::kBits + kEntryShift <= mm::kFrameShift; };

    // An entry and its place. Entry 0: there is none.
    struct Place {
        Entry entry;
        unsigned level;
        Entry* row;
        std::uint64_t index;
    };

    RadixTree(mm::PhysicalMemory& memory, const Shape<F>& shape, PhysAddr root)
        : memory_(memory),
          map_(memory.frame_map()),
          geometry_(shape.geometry),
          policy_(shape.policy),
          most_levels_(shape.most_levels),
          mask_(low_mask(bits_of(shape))),
          top_(root | shape.levels) {}
    RadixTree(RadixTree&& other) noexcept
        : memory_(other.memory_),
          map_(other.map_),
          geometry_(other.geometry_),
          policy_(other.policy_),
          most_levels_(other.most_levels_),
          mask_(other.mask_),
          top_(other.top_.exchange(0, std::memory_order_relaxed)) {}
    ~RadixTree() = default;

    // --- geometry ---

    static unsigned bits_of(const Shape<F>& shape) {
        const unsigned reach = shape.geometry.shift_of(shape.most_levels);
        if (shape.iova_bits == 0) {
            return reach;
        }
        return Concatenates<F> ? shape.iova_bits : std::min(shape.iova_bits, reach);
    }
    unsigned shift_of(unsigned level) const { return geometry_.shift_of(level); }
    // Bytes that one entry of a level maps.
    std::uint64_t span(unsigned level) const { return std::uint64_t{1} << shift_of(level); }
    std::uint64_t entries_in(unsigned level) const {
        return std::uint64_t{1} << geometry_.index_bits(level);
    }
    std::uint64_t index_of(std::uint64_t iova, unsigned level) const {
        return iova >> shift_of(level) & geometry_.index_mask(level);
    }
    // A table takes 2^order frames: one at least.
    unsigned order_of(unsigned level) const {
        const unsigned bits = geometry_.index_bits(level) + kEntryShift;
        return bits < mm::kFrameShift ? 0 : bits - mm::kFrameShift;
    }
    // The number of tables of the root.
    std::uint64_t roots() const {
        if constexpr (Concatenates<F>) {
            return (mask_ >> shift_of(most_levels_)) + 1;
        } else {
            return 1;
        }
    }
    bool reaches(Top top, std::uint64_t iova) const {
        if constexpr (Grows<F>) {
            return iova <= low_mask(shift_of(top.levels));
        } else if constexpr (UpperHalf<F>) {
            return ~iova <= mask_;
        } else if constexpr (SignExtends<F>) {
            return iova + (mask_ / 2 + 1) <= mask_;
        } else {
            return iova <= mask_;
        }
    }
    // For fast walks: if the format fixes the geometry, shifts are constants once the compiler has
    // unrolled the loop over the levels. It does if the number of levels is a constant, so the loop
    // has as many as there may be, and skips those that the tree lacks.
    static constexpr bool kUnrolls = std::is_empty_v<Geometry>;
    static unsigned highest_level(Top top) { return (kUnrolls ? kMostLevels : top.levels) - 1; }
    static bool lacks(Top top, unsigned level) { return kUnrolls && level >= top.levels; }
    // Returns act(top). Where a tree may have five levels and most have four, four are a constant
    // in act(), so that no level is asked for.
    static constexpr unsigned kUsualLevels = 4;
    [[gnu::always_inline]] static auto with_usual_levels(Top top, auto&& act) {
        if constexpr (kUnrolls && kMostLevels > kUsualLevels && !Grows<F>) {
            if (top.levels == kUsualLevels) [[likely]] {
                return act(Top{top.root, kUsualLevels});
            }
        }
        return act(top);
    }
    // The table of the root for an iova within reach.
    PhysAddr root_of(Top top, std::uint64_t iova) const {
        if constexpr (Concatenates<F>) {
            const unsigned level = top.levels - 1;
            return top.root +
                   ((iova >> shift_of(top.levels)) << (geometry_.index_bits(level) + kEntryShift));
        } else {
            return top.root;
        }
    }
    // The level of the leaf of a page, and the number of entries that it fills.
    unsigned level_of(std::uint64_t page_size) const {
        return geometry_.level_of(static_cast<unsigned>(std::countr_zero(page_size)));
    }
    std::uint64_t run_of(std::uint64_t page_size, unsigned level) const {
        if constexpr (HasRuns<F>) {
            return page_size >> shift_of(level);
        } else {
            return 1;
        }
    }
    std::uint64_t page_size_of(Entry leaf, unsigned level) const {
        if constexpr (HasRuns<F>) {
            return F::leaf_size(leaf, level);
        } else {
            return span(level);
        }
    }
    // The address behind a leaf: the offset into the page is the iova's.
    PhysAddr address_of(Entry entry, unsigned level, std::uint64_t iova) const {
        if (!F::present(entry)) [[unlikely]] {
            return 0;
        }
        return ((F::address(entry, level) ^ iova) & -page_size_of(entry, level)) ^ iova;
    }

    // --- entries ---

    static constexpr Entry in_order(Entry entry) {
        if constexpr (F::kByteOrder == std::endian::native) {
            return entry;
        } else {
            return std::byteswap(entry);
        }
    }
    static Entry load(Entry& entry) {
        return in_order(std::atomic_ref<Entry>(entry).load(std::memory_order_acquire));
    }
    static void store(Entry& entry, Entry value) {
        std::atomic_ref<Entry>(entry).store(in_order(value), std::memory_order_release);
    }
    // Stores `value` if the entry is `seen`; false: sets `seen` to what it is.
    static bool exchange(Entry& entry, Entry& seen, Entry value) {
        Entry expected = in_order(seen);
        const bool done = std::atomic_ref<Entry>(entry).compare_exchange_strong(
            expected, in_order(value), std::memory_order_acq_rel);
        seen = in_order(expected);
        return done;
    }

    static Entry* entry_at(auto map, PhysAddr table, std::uint64_t index) {
        return reinterpret_cast<Entry*>(map.at(table, index * sizeof(Entry)));
    }
    static Entry* entries(auto map, PhysAddr table) {
        return reinterpret_cast<Entry*>(map.at(table));
    }

    static bool names_table(Entry entry, unsigned level) {
        return level != 0 && F::names_table(entry, level);
    }
    static bool is_leaf(Entry entry, unsigned level) {
        return F::present(entry) && !names_table(entry, level);
    }

    // Is there RAM for a table of a level?
    bool is_table(auto map, PhysAddr table, unsigned level) const {
        return map.is_ram(table + (mm::kFrameSize << order_of(level)) - 1);
    }
    // The entry of the root for an iova within reach. If there are no bits above the index it needs
    // no mask, and the index goes on from one table of the root to the next.
    Entry* root_entry(auto map, Top top, std::uint64_t iova) const {
        const unsigned level = top.levels - 1;
        if constexpr (UpperHalf<F> || SignExtends<F>) {
            return entry_at(map, top.root, index_of(iova, level));
        } else {
            return entry_at(map, top.root, iova >> shift_of(level));
        }
    }
    // An entry, or null if it is not in RAM. A table of one frame is in RAM if its start is; of a
    // larger one the entry's frame is checked, which no run crosses the end of.
    static Entry* find_entry(auto map, PhysAddr table, std::uint64_t index) {
        if constexpr (kOneFrame) {
            return map.is_ram(table) ? entry_at(map, table, index) : nullptr;
        } else {
            return reinterpret_cast<Entry*>(map.find(table, index * sizeof(Entry)));
        }
    }
    // Down to the entry for an iova within reach that is not the address of a table.
    Place descend(Top top, std::uint64_t iova) const {
        PhysAddr table = root_of(top, iova);
        for (unsigned level = top.levels - 1;; --level) {
            const std::uint64_t index = index_of(iova, level);
            Entry* const place = find_entry(map_, table, index);
            if (place == nullptr) [[unlikely]] {
                return {};
            }
            const Entry entry = load(*place);
            if (!names_table(entry, level)) {
                return {entry, level, place - index, index};
            }
            table = F::address(entry, level);
        }
    }
    // The entry of level 0 for an iova; null: there is no table.
    Entry* entry_in(std::uint64_t iova) const {
        const Top top = this->top();
        if (!reaches(top, iova)) {
            return nullptr;
        }
        const Place place = descend(top, iova);
        return place.row == nullptr || place.level != 0 ? nullptr : place.row + place.index;
    }
    // iova_to_phys() in RAM without fragments.
    [[gnu::always_inline]] PhysAddr look_up(Top top, std::uint64_t iova) const {
        const mm::LinearMap map = map_.linear();
        Entry* place = root_entry(map, top, iova);
        for (unsigned level = highest_level(top); level != 0; --level) {
            if (lacks(top, level)) {
                continue;
            }
            const Entry entry = load(*place);
            if (!F::names_table(entry, level)) [[unlikely]] {
                return address_of(entry, level, iova);
            }
            place = find_entry(map, F::address(entry, level), index_of(iova, level - 1));
            if (place == nullptr) [[unlikely]] {
                return 0;
            }
        }
        return address_of(load(*place), 0, iova);
    }
    // The same where shifts are no constants; the number of levels becomes one.
    template <unsigned kLevels = 1>
    [[gnu::always_inline]] PhysAddr look_up_with(Top top, std::uint64_t iova) const {
        if constexpr (kLevels < kMostLevels) {
            if (top.levels != kLevels) {
                return look_up_with<kLevels + 1>(top, iova);
            }
        }
        return look_up({top.root, kLevels}, iova);
    }
    [[gnu::noinline]] PhysAddr iova_to_phys_in_fragments(Top top, std::uint64_t iova) const {
        const Place place = descend(top, iova);
        return address_of(place.entry, place.level, iova);
    }

    mm::PhysicalMemory& memory_;
    const FrameMap map_;
    [[no_unique_address]] const Geometry geometry_;
    const TablePolicy policy_;
    const unsigned most_levels_;
    const std::uint64_t mask_;  // of the bits of an iova
    // The root's address and, in the low bits, the number of levels: one word, so that both are
    // loaded together.
    std::atomic<std::uint64_t> top_;

  private:
    WalkStep step_of(unsigned level, PhysAddr table, std::uint64_t index, Entry entry) const {
        WalkStep step{level, table, index, entry, WalkStep::Kind::nothing};
        if (names_table(entry, level)) {
            step.kind = WalkStep::Kind::table;
            step.address = F::address(entry, level);
        } else if (F::present(entry)) {
            step.kind = WalkStep::Kind::page;
            step.page_size = page_size_of(entry, level);
            step.address = align_down(F::address(entry, level), step.page_size);
            step.protection = F::protection(entry, level);
        }
        return step;
    }

    std::uint64_t bytes_below(PhysAddr table, unsigned level) const {
        if (level == 0) {
            return 0;
        }
        std::uint64_t bytes = 0;
        for (std::uint64_t index = 0; index < entries_in(level); ++index) {
            const Entry entry = load(*entry_at(map_, table, index));
            if (F::names_table(entry, level) &&
                is_table(map_, F::address(entry, level), level - 1)) {
                bytes += (mm::kFrameSize << order_of(level - 1)) +
                         bytes_below(F::address(entry, level), level - 1);
            }
        }
        return bytes;
    }

    // Is a leaf dirty? It is if any entry of its run is.
    bool take_dirty(Place place, std::uint64_t page_size, bool make_clean) const
        requires HasDirty<F>
    {
        const std::uint64_t run = run_of(page_size, place.level);
        const std::uint64_t from = align_down(place.index, run);
        bool dirty = false;
        for (std::uint64_t index = from; index < from + run; ++index) {
            Entry entry = load(place.row[index]);
            while (is_leaf(entry, place.level) && F::dirty(entry)) {
                dirty = true;
                if (!make_clean || exchange(place.row[index], entry, F::make_clean(entry))) {
                    break;
                }
            }
        }
        return dirty;
    }
};

}  // namespace kvmiommu::iommu::pgtable
