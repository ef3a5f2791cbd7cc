// SPDX-License-Identifier: MIT
//
// VMSAv8-64 page tables (LPAE), 4 KiB granule, stage 1 and stage 2, which the SMMUv3 walks.
// Bits: Arm Architecture Reference Manual for A-profile architecture, DDI 0487, section D8.3
// "Translation table descriptor formats" and D8.6 "Memory attributes".
//
// Arm counts levels from the root; here as everywhere level 0 has the smallest pages, Arm's 3.

#pragma once

#include <cstdint>

#include "iommu/domain.h"

namespace kvmiommu::iommu::pgtable {

/// What both stages have in common.
struct ArmV8 {
    using Entry = std::uint64_t;

    // --- geometry: 512 entries of 8 bytes a table; 3 or 4 levels for 39 or 48 bits ---
    static constexpr unsigned kPageShift = 12;
    static constexpr unsigned kIndexBits = 9;
    static constexpr bool kRuns = false;
    static constexpr Entry kValid = Entry{1} << 0;
    // Bit 1: a table above the leaf level, a page in it; a block has it clear.
    static constexpr Entry kTable = Entry{1} << 1;
    static constexpr Entry kOuterShareable = Entry{2} << 8;  // SH, bits 9:8
    static constexpr Entry kInnerShareable = Entry{3} << 8;
    static constexpr Entry kAccessed = Entry{1} << 10;                         // AF
    static constexpr Entry kAddress = ((Entry{1} << 48) - 1) & ~Entry{0xfff};  // bits 47:12

    // --- entries read ---
    static constexpr bool present(Entry entry) { return (entry & kValid) != 0; }
    static constexpr bool leaf(Entry entry, unsigned level) {
        return level == 0 || (entry & kTable) == 0;
    }
    static constexpr mm::PhysAddr address(Entry entry) { return entry & kAddress; }
    static constexpr std::uint64_t leaf_size(Entry, unsigned level) {
        return std::uint64_t{1} << (kPageShift + level * kIndexBits);
    }
    // That no entry is a table shows in what any of them has.
    static constexpr bool plain_leaves(Entry all, Entry any, unsigned level) {
        return present(all) && leaf(any, level);
    }

    // --- entries made ---
    static constexpr Entry make_table(mm::PhysAddr table, unsigned) {
        return table | kValid | kTable;
    }

  protected:
    static constexpr Entry make_any_leaf(mm::PhysAddr page, std::uint64_t page_size,
                                         std::uint32_t protection) {
        return page | kValid | kAccessed | (page_size >> kPageShift == 1 ? kTable : 0) |
               ((protection & kCache) != 0 ? kInnerShareable : kOuterShareable);
    }
};

struct ArmV8Stage1 : ArmV8 {
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
    // Whatever is valid can be read. With DBM a page that is read-only may become writable.
    static constexpr std::uint32_t protection(Entry entry) {
        return kRead | ((entry & kReadOnly) == 0 || (entry & kDirtyModifier) != 0 ? +kWrite : 0);
    }

    // --- entries made ---
    static constexpr Entry make_leaf(mm::PhysAddr page, std::uint64_t page_size,
                                     std::uint32_t protection, Attributes attributes) {
        const Entry kind = (protection & kCache) != 0 ? kWriteBack : kNonCacheable;
        const bool writable = (protection & kWrite) != 0;
        return make_any_leaf(page, page_size, protection) | kind << kAttributeIndexShift |
               kUnprivileged | kNotGlobal |
               (!writable                   ? kReadOnly
                : attributes.hardware_dirty ? kDirtyModifier
                                            : 0);
    }
};

struct ArmV8Stage2 : ArmV8 {
    struct Attributes {};

    // --- geometry: up to 16 tables next to each other instead of one more level ---
    static constexpr unsigned kMostMoreBits = 4;
    static constexpr Entry kNonCacheable = Entry{0x5} << 2;  // MemAttr, bits 5:2
    static constexpr Entry kWriteBack = Entry{0xf} << 2;
    static constexpr Entry kReadable = Entry{1} << 6;  // S2AP, bits 7:6
    static constexpr Entry kWritable = Entry{1} << 7;

    // --- entries read ---
    static constexpr std::uint32_t protection(Entry entry) {
        return ((entry & kReadable) != 0 ? +kRead : 0) | ((entry & kWritable) != 0 ? +kWrite : 0);
    }

    // --- entries made ---
    static constexpr Entry make_leaf(mm::PhysAddr page, std::uint64_t page_size,
                                     std::uint32_t protection, Attributes) {
        return make_any_leaf(page, page_size, protection) |
               ((protection & kCache) != 0 ? kWriteBack : kNonCacheable) |
               ((protection & kRead) != 0 ? kReadable : 0) |
               ((protection & kWrite) != 0 ? kWritable : 0);
    }
};

}  // namespace kvmiommu::iommu::pgtable
