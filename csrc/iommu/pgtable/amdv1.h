// SPDX-License-Identifier: MIT
//
// AMD host page tables, version 1.
// Bits: AMD I/O Virtualization Technology (IOMMU) Specification, publication 48882, revision 3.10,
// section 2.2.3 "I/O Page Tables for Host Translations".
//
// The NextLevel of an entry is the level of the table at its address, counted from 1; or 0 for a
// leaf of the span of its level, or 7 for a leaf of another size, which the lowest address bits
// encode.

#pragma once

#include <bit>
#include <cstdint>

#include "base/bits.h"
#include "iommu/domain.h"
#include "iommu/pgtable/format.h"

namespace kvmiommu::iommu::pgtable {

/// The smallest page has 2^kSmallest bytes: 12 on hardware.
template <unsigned kSmallest>
struct AmdV1Of {
    using Entry = std::uint64_t;
    struct Attributes {};

    // --- geometry: 512 entries of 8 bytes a table; 6 levels for all 64 bits, where the root uses
    // 128 entries ---
    static constexpr unsigned kPageShift = kSmallest;
    static constexpr unsigned kIndexBits = 9;
    using Geometry = SameTables<kPageShift, kIndexBits, 64>;
    static constexpr bool kGrows = true;
    static constexpr auto kByteOrder = std::endian::little;
    static constexpr Entry kPresent = Entry{1} << 0;   // PR
    static constexpr Entry kAccessed = Entry{1} << 5;  // A, in leaves
    static constexpr Entry kDirty = Entry{1} << 6;     // D, in leaves
    static constexpr unsigned kNextLevelShift = 9;     // NextLevel, bits 11:9
    static constexpr Entry kNextLevel = Entry{7} << kNextLevelShift;
    static constexpr Entry kAddress = ((Entry{1} << 52) - 1) & ~Entry{0xfff};  // bits 51:12
    static constexpr Entry kForceCoherent = Entry{1} << 60;                    // FC, in leaves
    static constexpr Entry kReadable = Entry{1} << 61;                         // IR
    static constexpr Entry kWritable = Entry{1} << 62;                         // IW
    // Bit 12 stands for one smallest page.
    static constexpr unsigned kAddressShift = 12 - kSmallest;
    static constexpr unsigned kOutputBits = 52 - kAddressShift;

    // --- entries read ---
    static constexpr bool present(Entry entry) { return (entry & kPresent) != 0; }
    static constexpr bool names_table(Entry entry, unsigned level) {
        return (entry & kNextLevel) == Entry{level} << kNextLevelShift;
    }
    static constexpr mm::PhysAddr address(Entry entry, unsigned) {
        return (entry & kAddress) >> kAddressShift;
    }
    static constexpr std::uint64_t leaf_size(Entry entry, unsigned level) {
        if ((entry & kNextLevel) == 0) {
            return std::uint64_t{1} << Geometry::shift_of(level);
        }
        // The lowest address bit that is clear is half of the size.
        return std::uint64_t{2} << std::countr_one(address(entry, level) | low_mask(kPageShift));
    }
    static constexpr std::uint32_t protection(Entry entry, unsigned) {
        return ((entry & kReadable) != 0 ? +kRead : 0) | ((entry & kWritable) != 0 ? +kWrite : 0);
    }
    static constexpr bool plain_leaf(Entry entry, unsigned) {
        return (entry & (kPresent | kNextLevel)) == kPresent;
    }
    static constexpr Entry kind_bits(Entry, unsigned) { return kPresent | kNextLevel; }
    static constexpr bool dirty(Entry entry) { return (entry & kDirty) != 0; }

    // --- entries made ---
    // Rights are restricted by leaves alone.
    static constexpr Entry make_table(mm::PhysAddr table, unsigned level) {
        return table << kAddressShift | kPresent | Entry{level + 1} << kNextLevelShift | kReadable |
               kWritable;
    }
    static constexpr Entry make_leaf(mm::PhysAddr page, std::uint64_t page_size,
                                     std::uint32_t protection, Attributes) {
        const bool natural = (std::countr_zero(page_size) - kPageShift) % kIndexBits == 0;
        return page << kAddressShift |
               (natural ? 0 : ((page_size / 2 - 1) << kAddressShift & kAddress) | kNextLevel) |
               kPresent | kForceCoherent | ((protection & kRead) != 0 ? kReadable : 0) |
               ((protection & kWrite) != 0 ? kWritable : 0);
    }
    static constexpr Entry leaf_step(std::uint64_t size) { return size << kAddressShift; }
    static constexpr Entry make_clean(Entry entry) { return entry & ~kDirty; }
    static constexpr Entry make_dirty(Entry entry) { return entry | kAccessed | kDirty; }
};

using AmdV1 = AmdV1Of<12>;

/// What iommufd's mock device has (drivers/iommu/generic_pt/fmt/defs_amdv1.h): pages from 2 KiB.
using MockV1 = AmdV1Of<11>;

}  // namespace kvmiommu::iommu::pgtable
