// SPDX-License-Identifier: MIT
//
// What a page-table format says of its bits. A format is a class of constants and small static
// functions; the walker (pgtable/radix_tree.h, radix.h) is a template over it, so that each format
// compiles to straight code.
//
// Every format's header has the same sections in the same order: where the bits are written down;
// geometry; entries read; entries made.
//
// Levels count from the leaves: level 0 maps the smallest pages, and the entries of level n + 1
// name tables of level n. A page has the size that one entry of its level stands for, its span;
// where a format has runs it may be a power of two more, and then the entry is there once for each
// span of the page, every time the same.

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
    /// Bits of an offset into what one entry of a level stands for.
    static constexpr unsigned shift_of(unsigned level) { return kPageShift + level * kIndexBits; }
    /// Bits of an index into a table of a level.
    static constexpr unsigned index_bits(unsigned) { return kIndexBits; }
    static constexpr std::uint64_t index_mask(unsigned) { return low_mask(kIndexBits); }
    /// The level whose entries make up pages of 2^`shift` bytes.
    static constexpr unsigned level_of(unsigned shift) { return (shift - kPageShift) / kIndexBits; }
};

template <class F>
concept Format = requires(typename F::Entry entry, unsigned level, mm::PhysAddr address,
                          std::uint64_t size, std::uint32_t protection,
                          typename F::Attributes attributes, const typename F::Geometry& geometry) {
    // What an entry reads as; it lies in memory as kByteOrder says.
    requires std::unsigned_integral<typename F::Entry>;
    { F::kByteOrder } -> std::convertible_to<std::endian>;
    { F::Geometry::kMostLevels } -> std::convertible_to<unsigned>;
    { geometry.shift_of(level) } -> std::same_as<unsigned>;
    { geometry.index_bits(level) } -> std::same_as<unsigned>;
    { geometry.level_of(level) } -> std::same_as<unsigned>;
    // Bits of an address that a leaf can lead to.
    { F::kOutputBits } -> std::convertible_to<unsigned>;

    { F::present(entry) } -> std::same_as<bool>;
    // Of any entry of a table above level 0: does it name a table?
    { F::names_table(entry, level) } -> std::same_as<bool>;
    // Where that table is; of a leaf, an address within the page.
    { F::address(entry, level) } -> std::same_as<mm::PhysAddr>;
    // Is it a leaf that fills one entry?
    { F::plain_leaf(entry, level) } -> std::same_as<bool>;
    // Of such a leaf, the bits that make any other entry of its table one that has the same there.
    { F::kind_bits(entry, level) } -> std::same_as<typename F::Entry>;
    // Of a leaf: what it lets a device do.
    { F::protection(entry, level) } -> std::same_as<std::uint32_t>;

    // `level` is that of the table which the entry names, `size` that of the page.
    { F::make_table(address, level) } -> std::same_as<typename F::Entry>;
    { F::make_leaf(address, size, protection, attributes) } -> std::same_as<typename F::Entry>;
    // What a leaf grows by from page to page of a size.
    { F::leaf_step(size) } -> std::same_as<typename F::Entry>;
};

// --- what only some formats have ---

/// Pages that fill several entries; each entry tells the size of its page.
template <class F>
concept HasRuns = requires(typename F::Entry entry, unsigned level) {
    { F::leaf_size(entry, level) } -> std::same_as<std::uint64_t>;
};

/// A tree that gets a new root when it must reach further.
template <class F>
concept Grows = requires { requires F::kGrows; };

/// Up to 2^kMostMoreBits tables next to each other in the place of the root.
template <class F>
concept Concatenates = requires { F::kMostMoreBits; };

/// A tree for the iovas whose high bits are all ones.
template <class F>
concept UpperHalf = requires { requires F::kUpperHalf; };

/// A tree for the iovas whose high bits are all as the highest that is looked up.
template <class F>
concept SignExtends = requires { requires F::kSignExtends; };

/// Leaves grow by the same number only within 2^kLinearBits bytes.
template <class F>
concept HasBorders = requires { requires F::kLinearBits < F::kOutputBits; };

/// Leaves that say whether the page has been written to.
template <class F>
concept HasDirty = requires(typename F::Entry entry) {
    { F::dirty(entry) } -> std::same_as<bool>;
    { F::make_clean(entry) } -> std::same_as<typename F::Entry>;
    // As the hardware does, in a leaf that may be written to.
    { F::make_dirty(entry) } -> std::same_as<typename F::Entry>;
};

/// Leaves that can be made of a larger page's: the same rights, another size and address.
template <class F>
concept Splits = requires(typename F::Entry entry, mm::PhysAddr address, std::uint64_t size) {
    { F::smaller_leaf(entry, size, address, size) } -> std::same_as<typename F::Entry>;
};

/// Tables that must lie below 2^kTableBits.
template <class F>
concept HasTableLimit = requires { F::kTableBits; };

}  // namespace kvmiommu::iommu::pgtable
