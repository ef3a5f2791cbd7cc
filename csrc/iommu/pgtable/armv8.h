// SPDX-License-Identifier: MIT
//
// VMSAv8-64 page tables (LPAE), stage 1 and stage 2, which the SMMUv3 walks.
// Bits: Arm Architecture Reference Manual for A-profile architecture, DDI 0487, section D8.3
// "Translation table descriptor formats" and D8.6 "Memory attributes".
//
// Arm counts levels from the root; here as everywhere level 0 has the smallest pages, Arm's 3.

#pragma once

#include <bit>
#include <cstdint>

#include "base/bits.h"
#include "iommu/domain.h"
#include "iommu/pgtable/format.h"

namespace kvmiommu::iommu::pgtable {

/// What both stages share. A granule, the size of a page and of a table, is 4, 16 or 64 KiB: 2^12,
/// 2^14 or 2^16 bytes.
template <unsigned kGranuleShift>
struct ArmV8 {
    using Entry = std::uint64_t;

    // --- geometry: entries of 8 bytes ---
    static constexpr bool kHas52Bits = kGranuleShift == 16;
    static constexpr unsigned kPageShift = kGranuleShift;
    static constexpr unsigned kIndexBits = kGranuleShift - 3;
    using Geometry = SameTables<kPageShift, kIndexBits, kHas52Bits ? 52 : 48>;
    static constexpr auto kByteOrder = std::endian::little;
    static constexpr Entry kValid = Entry{1} << 0;
    // Bit 1: the address of a table above level 0, a leaf in it; a leaf above level 0, a block, has
    // it clear.
    static constexpr Entry kTable = Entry{1} << 1;
    static constexpr Entry kOuterShareable = Entry{2} << 8;  // SH, bits 9:8
    static constexpr Entry kInnerShareable = Entry{3} << 8;
    static constexpr Entry kAccessed = Entry{1} << 10;  // AF
    // Address bits 47 down to the granule. With 64 KiB there are four more, 51:48, in the place of
    // the address bits 15:12 of smaller granules.
    static constexpr Entry kAddress = low_mask(48) & ~low_mask(kGranuleShift);
    static constexpr Entry kHighAddress = kHas52Bits ? Entry{0xf} << 12 : 0;
    static constexpr unsigned kHighShift = 48 - 12;
    static constexpr unsigned kOutputBits = kHas52Bits ? 52 : 48;
    static constexpr unsigned kLinearBits = 48;

    // --- entries read ---
    static constexpr bool present(Entry entry) { return (entry & kValid) != 0; }
    static constexpr bool names_table(Entry entry, unsigned) {
        return (entry & (kValid | kTable)) == (kValid | kTable);
    }
    static constexpr mm::PhysAddr address(Entry entry, unsigned) {
        return (entry & kAddress) | (entry & kHighAddress) << kHighShift;
    }
    static constexpr bool plain_leaf(Entry entry, unsigned level) {
        return (entry & (kValid | kTable)) == (level == 0 ? kValid | kTable : kValid);
    }
    static constexpr Entry kind_bits(Entry, unsigned) { return kValid | kTable; }

    // --- entries made ---
    static constexpr Entry make_table(mm::PhysAddr table, unsigned) {
        return in_place(table) | kValid | kTable;
    }
    static constexpr Entry leaf_step(std::uint64_t size) { return size; }
    static constexpr Entry smaller_leaf(Entry leaf, std::uint64_t, mm::PhysAddr page,
                                        std::uint64_t page_size) {
        return (leaf & ~(kAddress | kHighAddress | kTable)) | in_place(page) | kind_of(page_size);
    }

  protected:
    static constexpr Entry in_place(mm::PhysAddr address) {
        if constexpr (kHas52Bits) {
            return (address & kAddress) | (address >> kHighShift & kHighAddress);
        } else {
            return address;
        }
    }
    static constexpr Entry kind_of(std::uint64_t page_size) {
        return page_size >> kPageShift == 1 ? kTable : 0;
    }
    static constexpr Entry make_any_leaf(mm::PhysAddr page, std::uint64_t page_size,
                                         std::uint32_t protection) {
        return in_place(page) | kValid | kAccessed | kind_of(page_size) |
               ((protection & kCache) != 0 ? kInnerShareable : kOuterShareable);
    }
};

template <unsigned kGranuleShift>
struct ArmV8Stage1Of : ArmV8<kGranuleShift> {
    using typename ArmV8<kGranuleShift>::Entry;
    struct Attributes {
        bool hardware_dirty = false;  // DBM in writable leaves
    };

    static constexpr unsigned kAttributeIndexShift = 2;  // AttrIndx, bits 4:2, into MAIR
    static constexpr Entry kNonCacheable = 0;
    static constexpr Entry kWriteBack = 1;
    static constexpr Entry kUnprivileged = Entry{1} << 6;    // AP[1]
    static constexpr Entry kReadOnly = Entry{1} << 7;        // AP[2]
    static constexpr Entry kNotGlobal = Entry{1} << 11;      // nG
    static constexpr Entry kDirtyModifier = Entry{1} << 51;  // DBM

    // --- entries read ---
    // Every leaf can be read. With DBM one that is read-only becomes writable by a write.
    static constexpr std::uint32_t protection(Entry entry, unsigned) {
        return kRead | ((entry & kReadOnly) == 0 || (entry & kDirtyModifier) != 0 ? +kWrite : 0);
    }
    static constexpr bool dirty(Entry entry) {
        return (entry & (kReadOnly | kDirtyModifier)) == kDirtyModifier;
    }

    // --- entries made ---
    static constexpr Entry make_leaf(mm::PhysAddr page, std::uint64_t page_size,
                                     std::uint32_t protection, Attributes attributes) {
        const Entry kind = (protection & kCache) != 0 ? kWriteBack : kNonCacheable;
        const bool writable = (protection & kWrite) != 0;
        return ArmV8<kGranuleShift>::make_any_leaf(page, page_size, protection) |
               kind << kAttributeIndexShift | kUnprivileged | kNotGlobal |
               (!writable                   ? kReadOnly
                : attributes.hardware_dirty ? kDirtyModifier
                                            : 0);
    }
    static constexpr Entry make_clean(Entry entry) { return entry | kReadOnly; }
    static constexpr Entry make_dirty(Entry entry) {
        return (entry & kDirtyModifier) != 0 ? entry & ~kReadOnly : entry;
    }
};

/// A tree behind TTBR1, for iovas whose high bits are all ones.
template <unsigned kGranuleShift>
struct ArmV8UpperOf : ArmV8Stage1Of<kGranuleShift> {
    static constexpr bool kUpperHalf = true;
};

template <unsigned kGranuleShift>
struct ArmV8Stage2Of : ArmV8<kGranuleShift> {
    using typename ArmV8<kGranuleShift>::Entry;
    struct Attributes {};

    // --- geometry: up to 16 tables next to each other instead of one more level ---
    static constexpr unsigned kMostMoreBits = 4;
    static constexpr Entry kNonCacheable = Entry{0x5} << 2;  // MemAttr, bits 5:2
    static constexpr Entry kWriteBack = Entry{0xf} << 2;
    static constexpr Entry kReadable = Entry{1} << 6;  // S2AP, bits 7:6
    static constexpr Entry kWritable = Entry{1} << 7;

    // --- entries read ---
    static constexpr std::uint32_t protection(Entry entry, unsigned) {
        return ((entry & kReadable) != 0 ? +kRead : 0) | ((entry & kWritable) != 0 ? +kWrite : 0);
    }

    // --- entries made ---
    static constexpr Entry make_leaf(mm::PhysAddr page, std::uint64_t page_size,
                                     std::uint32_t protection, Attributes) {
        return ArmV8<kGranuleShift>::make_any_leaf(page, page_size, protection) |
               ((protection & kCache) != 0 ? kWriteBack : kNonCacheable) |
               ((protection & kRead) != 0 ? kReadable : 0) |
               ((protection & kWrite) != 0 ? kWritable : 0);
    }
};

using ArmV8Stage1 = ArmV8Stage1Of<12>;
using ArmV8Stage2 = ArmV8Stage2Of<12>;
using ArmV8Upper = ArmV8UpperOf<12>;

}  // namespace kvmiommu::iommu::pgtable
