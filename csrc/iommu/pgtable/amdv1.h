// SPDX-License-Identifier: MIT
//
// AMD host page tables, version 1.
// Bits: AMD I/O Virtualization Technology (IOMMU) Specification, publication 48882, revision 3.10,
// section 2.2.3 "I/O Page Tables for Host Translations".
//
// An entry says itself what it is: its NextLevel is the level of the table that it names, counted
// from 1; 0 stands for a page of the size that is natural at its level, 7 for one of another size,
// which the lowest address bits tell.

#pragma once

#include <bit>
#include <cstdint>

#include "base/bits.h"
#include "iommu/domain.h"

namespace kvmiommu::iommu::pgtable {

struct AmdV1 {
    using Entry = std::uint64_t;
    struct Attributes {};

    // --- geometry: 512 entries of 8 bytes a table; 6 levels for all 64 bits, of which the top one
    // has 128 entries in use ---
    static constexpr unsigned kPageShift = 12;
    static constexpr unsigned kIndexBits = 9;
    static constexpr bool kRuns = true;
    static constexpr Entry kPresent = Entry{1} << 0;  // PR
    static constexpr unsigned kNextLevelShift = 9;    // NextLevel, bits 11:9
    static constexpr Entry kNextLevel = Entry{7} << kNextLevelShift;
    static constexpr Entry kAddress = ((Entry{1} << 52) - 1) & ~Entry{0xfff};  // bits 51:12
    static constexpr Entry kForceCoherent = Entry{1} << 60;                    // FC, in leaves
    static constexpr Entry kReadable = Entry{1} << 61;                         // IR
    static constexpr Entry kWritable = Entry{1} << 62;                         // IW

    // --- entries read ---
    static constexpr bool present(Entry entry) { return (entry & kPresent) != 0; }
    static constexpr bool leaf(Entry entry, unsigned level) {
        return level == 0 || (entry & kNextLevel) == 0 || (entry & kNextLevel) == kNextLevel;
    }
    static constexpr mm::PhysAddr address(Entry entry) { return entry & kAddress; }
    static constexpr std::uint64_t leaf_size(Entry entry, unsigned level) {
        if ((entry & kNextLevel) == 0) {
            return std::uint64_t{1} << (kPageShift + level * kIndexBits);
        }
        // The lowest address bit that is clear stands for half of the page.
        return std::uint64_t{2} << std::countr_one(entry | low_mask(kPageShift));
    }
    static constexpr std::uint32_t protection(Entry entry) {
        return ((entry & kReadable) != 0 ? +kRead : 0) | ((entry & kWritable) != 0 ? +kWrite : 0);
    }
    static constexpr bool plain_leaves(Entry all, Entry any, unsigned) {
        return present(all) && (any & kNextLevel) == 0;
    }

    // --- entries made ---
    // What a device may do is a matter of the leaves: tables let everything through.
    static constexpr Entry make_table(mm::PhysAddr table, unsigned level) {
        return table | kPresent | Entry{level + 1} << kNextLevelShift | kReadable | kWritable;
    }
    static constexpr Entry make_leaf(mm::PhysAddr page, std::uint64_t page_size,
                                     std::uint32_t protection, Attributes) {
        const bool natural = (std::countr_zero(page_size) - kPageShift) % kIndexBits == 0;
        return page | (natural ? 0 : ((page_size / 2 - 1) & kAddress) | kNextLevel) | kPresent |
               kForceCoherent | ((protection & kRead) != 0 ? kReadable : 0) |
               ((protection & kWrite) != 0 ? kWritable : 0);
    }
};

}  // namespace kvmiommu::iommu::pgtable
