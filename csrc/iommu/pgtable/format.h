// SPDX-License-Identifier: MIT
//
// A page-table format: a class of constants and small static functions, over which the walker
// (pgtable/radix_tree.h, radix.h) is a template, so that each format compiles to straight code.
//
// Every format's header has the same sections in the same order: the specification of the bits;
// geometry; entries read; entries made.
//
// Level 0 has the leaves of the smallest pages; an entry of level n + 1 is a leaf or the address of
// a table of level n. One entry maps the span of its level. Where a format has runs, a leaf may map
// a power of two times as much: then it fills a run of entries, all of the same value.

#pragma once

#include <bit>
#include <concepts>
#include <cstdint>

#include "base/bits.h"
#include "mm/physical_memory.h"

namespace kvmiommu::iommu::pgtable {

/// The geometry of most formats: tables of 2^kIndexBits entries at every level, for iovas of up to
/// kIovaBits bits.
template <unsigned kPageShift, unsigned kIndexBits, unsigned kIovaBits>
struct SameTables {
    static constexpr unsigned kBits = kIndexBits;
    static constexpr unsigned kMostLevels = (kIovaBits - kPageShift + kIndexBits - 1) / kIndexBits;
    /// The span of a level is 2^shift_of(level).
    static constexpr unsigned shift_of(unsigned level) { return kPageShift + level * kIndexBits; }
    /// Bits of an index into a table of a level.
    static constexpr unsigned index_bits(unsigned) { return kIndexBits; }
    static constexpr std::uint64_t index_mask(unsigned) { return low_mask(kIndexBits); }
    /// The level that the leaves of pages of 2^`shift` bytes are in.
    static constexpr unsigned level_of(unsigned shift) { return (shift - kPageShift) / kIndexBits; }
};

template <class F>
concept Format = requires(typename F::Entry entry, unsigned level, mm::PhysAddr address,
                          std::uint64_t size, std::uint32_t protection,
                          typename F::Attributes attributes, const typename F::Geometry& geometry) {
    // The value of an entry; its byte order in memory is kByteOrder.
    requires std::unsigned_integral<typename F::Entry>;
    { F::kByteOrder } -> std::convertible_to<std::endian>;
    { F::Geometry::kMostLevels } -> std::convertible_to<unsigned>;
    { geometry.shift_of(level) } -> std::same_as<unsigned>;
    { geometry.index_bits(level) } -> std::same_as<unsigned>;
    { geometry.level_of(level) } -> std::same_as<unsigned>;
    // Bits of a physical address in a leaf.
    { F::kOutputBits } -> std::convertible_to<unsigned>;

    { F::present(entry) } -> std::same_as<bool>;
    // Of any entry above level 0: is it the address of a table?
    { F::names_table(entry, level) } -> std::same_as<bool>;
    // The address of that table; of a leaf, an address within the page.
    { F::address(entry, level) } -> std::same_as<mm::PhysAddr>;
    // Is it a leaf that fills one entry?
    { F::plain_leaf(entry, level) } -> std::same_as<bool>;
    // The bits of such a leaf that tell it from every entry that is none: an entry with the same
    // bits is a leaf that fills one entry, too.
    { F::kind_bits(entry, level) } -> std::same_as<typename F::Entry>;
    // The rights of a leaf.
    { F::protection(entry, level) } -> std::same_as<std::uint32_t>;

    // `level` is that of the table at `address`, `size` that of the page.
    { F::make_table(address, level) } -> std::same_as<typename F::Entry>;
    { F::make_leaf(address, size, protection, attributes) } -> std::same_as<typename F::Entry>;
    // The difference between the leaves of consecutive pages of a size.
    { F::leaf_step(size) } -> std::same_as<typename F::Entry>;
};

// --- what only some formats have ---

/// Leaves that fill runs; each entry of a run has the size of the page.
template <class F>
concept HasRuns = requires(typename F::Entry entry, unsigned level) {
    { F::leaf_size(entry, level) } -> std::same_as<std::uint64_t>;
};

/// A tree that gets a new root above the old one when it must reach further.
template <class F>
concept Grows = requires { requires F::kGrows; };

/// A root of up to 2^kMostMoreBits tables next to each other.
template <class F>
concept Concatenates = requires { F::kMostMoreBits; };

/// A tree for the iovas whose high bits are all ones.
template <class F>
concept UpperHalf = requires { requires F::kUpperHalf; };

/// A tree for the iovas whose high bits are copies of the highest bit that is looked up.
template <class F>
concept SignExtends = requires { requires F::kSignExtends; };

/// leaf_step() is right only within 2^kLinearBits bytes.
template <class F>
concept HasBorders = requires { requires F::kLinearBits < F::kOutputBits; };

/// Leaves with a dirty bit.
template <class F>
concept HasDirty = requires(typename F::Entry entry) {
    { F::dirty(entry) } -> std::same_as<bool>;
    { F::make_clean(entry) } -> std::same_as<typename F::Entry>;
    // As the hardware does to a leaf with the right to write.
    { F::make_dirty(entry) } -> std::same_as<typename F::Entry>;
};

/// Leaves of which smaller ones can be made: the same rights, another size and address.
template <class F>
concept Splits = requires(typename F::Entry entry, mm::PhysAddr address, std::uint64_t size) {
    { F::smaller_leaf(entry, size, address, size) } -> std::same_as<typename F::Entry>;
};

/// Tables that must lie below 2^kTableBits.
template <class F>
concept HasTableLimit = requires { F::kTableBits; };

}  // namespace kvmiommu::iommu::pgtable
