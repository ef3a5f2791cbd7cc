// SPDX-License-Identifier: MIT
//
// The processor's page tables, which AMD's version 2 and VT-d's first stage share.
// Bits: AMD64 Architecture Programmer's Manual, volume 2, section 5.3 "Long-Mode Page Translation";
// Intel Virtualization Technology for Directed I/O, Architecture Specification, revision 4.1,
// section 9.7 "First-Stage Paging Entries".

#pragma once

#include <bit>
#include <cstdint>

#include "iommu/domain.h"
#include "iommu/pgtable/format.h"

namespace kvmiommu::iommu::pgtable {

struct X86_64 {
    using Entry = std::uint64_t;
    struct Attributes {};

    // --- geometry: 512 entries of 8 bytes a table; 4 or 5 levels for 48 or 57 bits ---
    static constexpr unsigned kPageShift = 12;
    static constexpr unsigned kIndexBits = 9;
    using Geometry = SameTables<kPageShift, kIndexBits, 57>;
    static constexpr auto kByteOrder = std::endian::little;
    static constexpr unsigned kOutputBits = 52;
    static constexpr Entry kPresent = Entry{1} << 0;    // P
    static constexpr Entry kWritable = Entry{1} << 1;   // R/W
    static constexpr Entry kUser = Entry{1} << 2;       // U/S
    static constexpr Entry kAccessed = Entry{1} << 5;   // A
    static constexpr Entry kDirty = Entry{1} << 6;      // D, in leaves
    static constexpr Entry kLargePage = Entry{1} << 7;  // PS, in entries above the leaf level
    static constexpr Entry kAddress = ((Entry{1} << 52) - 1) & ~Entry{0xfff};  // bits 51:12

    // --- entries read ---
    static constexpr bool present(Entry entry) { return (entry & kPresent) != 0; }
    static constexpr bool names_table(Entry entry, unsigned) {
        return (entry & (kPresent | kLargePage)) == kPresent;
    }
    static constexpr mm::PhysAddr address(Entry entry, unsigned) { return entry & kAddress; }
    // Every leaf can be read.
    static constexpr std::uint32_t protection(Entry entry, unsigned) {
        return kRead | ((entry & kWritable) != 0 ? +kWrite : 0);
    }
    static constexpr bool plain_leaf(Entry entry, unsigned level) {
        return present(entry) && (level == 0 || (entry & kLargePage) != 0);
    }
    static constexpr Entry kind_bits(Entry, unsigned) { return kPresent | kLargePage; }
    static constexpr bool dirty(Entry entry) { return (entry & kDirty) != 0; }

    // --- entries made ---
    static constexpr Entry make_table(mm::PhysAddr table, unsigned) {
        return table | kPresent | kWritable | kUser | kAccessed;
    }
    // Accessed and dirty from the start, so that the IOMMU need not write to the table.
    static constexpr Entry make_leaf(mm::PhysAddr page, std::uint64_t page_size,
                                     std::uint32_t protection, Attributes) {
        return page | kPresent | kUser | kAccessed |
               ((protection & kWrite) != 0 ? kWritable | kDirty : 0) |
               (page_size >> kPageShift != 1 ? kLargePage : 0);
    }
    static constexpr Entry leaf_step(std::uint64_t size) { return size; }
    static constexpr Entry make_clean(Entry entry) { return entry & ~kDirty; }
    static constexpr Entry make_dirty(Entry entry) { return entry | kDirty; }
};

/// For both halves of the processor's addresses: bits above the highest are copies of it.
struct X86_64Signed : X86_64 {
    static constexpr bool kSignExtends = true;
};

}  // namespace kvmiommu::iommu::pgtable
