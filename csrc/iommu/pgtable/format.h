// SPDX-License-Identifier: MIT
//
// What a page-table format says of its bits. A format is a class of constants and small static
// functions; the walker (pgtable/radix.h) is a template over it, so that each format compiles to
// straight code.
//
// Every format's header has the same sections in the same order: where the bits are written down;
// geometry; entries read; entries made.
//
// Levels count from the leaves: level 0 maps the smallest pages, and the entries of level n + 1
// name tables of level n. A page has the size that one entry of its level stands for, its span;
// where a format has runs it may be a power of two more, and then the entry is there once for each
// span of the page, every time the same.

#pragma once

#include <concepts>
#include <cstdint>

#include "mm/physical_memory.h"

namespace kvmiommu::iommu::pgtable {

template <class F>
concept Format =
    requires(typename F::Entry entry, unsigned level, mm::PhysAddr address, std::uint64_t size,
             std::uint32_t protection, typename F::Attributes attributes) {
        requires std::unsigned_integral<typename F::Entry>;
        // Bits of an offset into the smallest page, and of an index into a table.
        { F::kPageShift } -> std::convertible_to<unsigned>;
        { F::kIndexBits } -> std::convertible_to<unsigned>;
        // May a page fill several entries?
        { F::kRuns } -> std::convertible_to<bool>;

        { F::present(entry) } -> std::same_as<bool>;
        // Of a present entry: does it map, or name a table?
        { F::leaf(entry, level) } -> std::same_as<bool>;
        // Where the table is; of a leaf, an address within the page.
        { F::address(entry) } -> std::same_as<mm::PhysAddr>;
        // Bytes of the page that a leaf is of.
        { F::leaf_size(entry, level) } -> std::same_as<std::uint64_t>;
        // Of some entries of one table, their AND and their OR: is each a leaf that fills one
        // entry? A no may be wrong.
        { F::plain_leaves(entry, entry, level) } -> std::same_as<bool>;
        // Of a leaf: what it lets a device do.
        { F::protection(entry) } -> std::same_as<std::uint32_t>;

        // `level` is that of the table which the entry names, `size` that of the page. From page
        // to page of a size a leaf grows by the same number.
        { F::make_table(address, level) } -> std::same_as<typename F::Entry>;
        { F::make_leaf(address, size, protection, attributes) } -> std::same_as<typename F::Entry>;
    };

}  // namespace kvmiommu::iommu::pgtable
