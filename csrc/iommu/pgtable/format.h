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
// name tables of level n.

#pragma once

#include <concepts>
#include <cstdint>

#include "mm/physical_memory.h"

namespace kvmiommu::iommu::pgtable {

template <class F>
concept Format = requires(typename F::Entry entry, unsigned level, mm::PhysAddr address,
                          std::uint32_t protection, typename F::Attributes attributes) {
    requires std::unsigned_integral<typename F::Entry>;
    // Bits of an offset into the smallest page, and of an index into a table.
    { F::kPageShift } -> std::convertible_to<unsigned>;
    { F::kIndexBits } -> std::convertible_to<unsigned>;

    { F::present(entry) } -> std::same_as<bool>;
    // Of a present entry: does it map, or name a table?
    { F::leaf(entry, level) } -> std::same_as<bool>;
    { F::address(entry) } -> std::same_as<mm::PhysAddr>;

    { F::make_table(address) } -> std::same_as<typename F::Entry>;
    { F::make_leaf(address, level, protection, attributes) } -> std::same_as<typename F::Entry>;
};

}  // namespace kvmiommu::iommu::pgtable
