// SPDX-License-Identifier: MIT
//
// Intel VT-d second level (second stage) paging entries.
// Bits: Intel Virtualization Technology for Directed I/O, Architecture Specification, revision
// 4.1, section 9.8 "Second-Stage Paging Entries".

#pragma once

#include <bit>
#include <cstdint>

#include "iommu/domain.h"
#include "iommu/pgtable/format.h"

namespace kvmiommu::iommu::pgtable {

struct VtdSecondLevel {
    using Entry = std::uint64_t;
    struct Attributes {
        bool snoop = false;  // SNP in every leaf
    };

    // --- geometry: 512 entries of 8 bytes a table; 3, 4 or 5 levels for 39, 48 or 57 bits ---
    static constexpr unsigned kPageShift = 12;
    static constexpr unsigned kIndexBits = 9;
    using Geometry = SameTables<kPageShift, kIndexBits, 57>;
    static constexpr auto kByteOrder = std::endian::little;
    static constexpr unsigned kOutputBits = 52;
    static constexpr Entry kReadable = Entry{1} << 0;   // R
    static constexpr Entry kWritable = Entry{1} << 1;   // W
    static constexpr Entry kLargePage = Entry{1} << 7;  // PS, in entries above the leaf level
    static constexpr Entry kAccessed = Entry{1} << 8;   // A, in leaves
    static constexpr Entry kDirty = Entry{1} << 9;      // D, in leaves
    static constexpr Entry kSnoop = Entry{1} << 11;     // SNP
    static constexpr Entry kAddress = ((Entry{1} << 52) - 1) & ~Entry{0xfff};  // bits 51:12

    // --- entries read ---
    static constexpr bool present(Entry entry) { return (entry & (kReadable | kWritable)) != 0; }
    static constexpr bool names_table(Entry entry, unsigned) {
        return (entry & (kReadable | kWritable | kLargePage)) == (kReadable | kWritable);
    }
    static constexpr mm::PhysAddr address(Entry entry, unsigned) { return entry & kAddress; }
    static constexpr std::uint32_t protection(Entry entry, unsigned) {
        return ((entry & kReadable) != 0 ? +kRead : 0) | ((entry & kWritable) != 0 ? +kWrite : 0);
    }
    static constexpr bool plain_leaf(Entry entry, unsigned level) {
        return present(entry) && (level == 0 || (entry & kLargePage) != 0);
    }
    // One of the rights is enough.
    static constexpr Entry kind_bits(Entry leaf, unsigned) {
        return ((leaf & kReadable) != 0 ? kReadable : kWritable) | kLargePage;
    }
    static constexpr bool dirty(Entry entry) { return (entry & kDirty) != 0; }

    // --- entries made ---
    static constexpr Entry make_table(mm::PhysAddr table, unsigned) {
        return table | kReadable | kWritable;
    }
    static constexpr Entry make_leaf(mm::PhysAddr page, std::uint64_t page_size,
                                     std::uint32_t protection, Attributes attributes) {
        return page | ((protection & kRead) != 0 ? kReadable : 0) |
               ((protection & kWrite) != 0 ? kWritable : 0) |
               (page_size >> kPageShift != 1 ? kLargePage : 0) | (attributes.snoop ? kSnoop : 0);
    }
    static constexpr Entry leaf_step(std::uint64_t size) { return size; }
    static constexpr Entry make_clean(Entry entry) { return entry & ~kDirty; }
    static constexpr Entry make_dirty(Entry entry) { return entry | kAccessed | kDirty; }
};

}  // namespace kvmiommu::iommu::pgtable
