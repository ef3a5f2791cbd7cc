// SPDX-License-Identifier: MIT
//
// POWER's translation control entries: a window of iovas with pages of one size, in a table of one
// to five levels that the host bridge walks.
// Bits: Linux on Power Architecture Reference, section "Translation Control Entry"; the levels:
// OPAL's interface for PHB windows (skiboot, doc/opal-api/opal-pci-map-pe-dma-window-44.rst).

#pragma once

#include <bit>
#include <cstdint>

#include "base/bits.h"
#include "iommu/domain.h"
#include "iommu/pgtable/format.h"

namespace kvmiommu::iommu::pgtable {

struct Tce {
    using Entry = std::uint64_t;
    struct Attributes {};

    // --- geometry: each window has its own size of pages and of tables ---
    struct Geometry {
        static constexpr unsigned kMostLevels = 5;
        unsigned page_shift = 12;  // 12, 16, 21, 24 or 30
        unsigned bits = 9;         // of an index, the same at all levels
        std::uint64_t mask = low_mask(bits);

        unsigned shift_of(unsigned level) const { return page_shift + level * bits; }
        unsigned index_bits(unsigned) const { return bits; }
        std::uint64_t index_mask(unsigned) const { return mask; }
        unsigned level_of(unsigned) const { return 0; }
    };
    static constexpr auto kByteOrder = std::endian::big;
    static constexpr unsigned kOutputBits = 52;
    static constexpr Entry kReadable = Entry{1} << 0;
    static constexpr Entry kWritable = Entry{1} << 1;
    static constexpr Entry kAddress = ((Entry{1} << 52) - 1) & ~Entry{0xfff};

    // --- entries read: those above level 0 are addresses of tables, though they look like leaves
    // ---
    static constexpr bool present(Entry entry) { return (entry & (kReadable | kWritable)) != 0; }
    static constexpr bool names_table(Entry entry, unsigned) { return present(entry); }
    static constexpr mm::PhysAddr address(Entry entry, unsigned) { return entry & kAddress; }
    static constexpr std::uint32_t protection(Entry entry, unsigned) {
        return ((entry & kReadable) != 0 ? +kRead : 0) | ((entry & kWritable) != 0 ? +kWrite : 0);
    }
    static constexpr bool plain_leaf(Entry entry, unsigned level) {
        return level == 0 && present(entry);
    }
    // One of the rights is enough.
    static constexpr Entry kind_bits(Entry leaf, unsigned) {
        return (leaf & kReadable) != 0 ? kReadable : kWritable;
    }

    // --- entries made ---
    static constexpr Entry make_table(mm::PhysAddr table, unsigned) {
        return table | kReadable | kWritable;
    }
    static constexpr Entry make_leaf(mm::PhysAddr page, std::uint64_t, std::uint32_t protection,
                                     Attributes) {
        return page | ((protection & kRead) != 0 ? kReadable : 0) |
               ((protection & kWrite) != 0 ? kWritable : 0);
    }
    static constexpr Entry leaf_step(std::uint64_t size) { return size; }
};

}  // namespace kvmiommu::iommu::pgtable
