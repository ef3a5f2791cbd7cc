// SPDX-License-Identifier: MIT
//
// RISC-V page tables, Sv39 to Sv57, which the RISC-V IOMMU walks for a first stage.
// Bits: The RISC-V Instruction Set Manual, volume II, Privileged Architecture, section 12.4 "Sv39:
// Page-Based 39-bit Virtual-Memory System", the sections on Sv48 and Sv57 behind it, and chapter 13
// "Svnapot".

#pragma once

#include <bit>
#include <cstdint>

#include "iommu/domain.h"
#include "iommu/pgtable/format.h"

namespace kvmiommu::iommu::pgtable {

struct RiscV64 {
    using Entry = std::uint64_t;
    struct Attributes {};

    // --- geometry: 512 entries of 8 bytes a table; 3, 4 or 5 levels for 39, 48 or 57 bits ---
    static constexpr unsigned kPageShift = 12;
    static constexpr unsigned kIndexBits = 9;
    using Geometry = SameTables<kPageShift, kIndexBits, 57>;
    static constexpr auto kByteOrder = std::endian::little;
    static constexpr unsigned kOutputBits = 56;
    static constexpr Entry kValid = Entry{1} << 0;       // V
    static constexpr Entry kReadable = Entry{1} << 1;    // R
    static constexpr Entry kWritable = Entry{1} << 2;    // W
    static constexpr Entry kExecutable = Entry{1} << 3;  // X
    static constexpr Entry kUser = Entry{1} << 4;        // U, in leaves
    static constexpr Entry kAccessed = Entry{1} << 6;    // A, in leaves
    static constexpr Entry kDirty = Entry{1} << 7;       // D, in leaves
    // The frame number is in bits 53:10, two bits below its place in the address.
    static constexpr unsigned kFrameNumberShift = 2;
    static constexpr Entry kFrameNumber = ((Entry{1} << 54) - 1) & ~Entry{0x3ff};

    // --- entries read ---
    static constexpr bool present(Entry entry) { return (entry & kValid) != 0; }
    // An entry without rights is the address of a table.
    static constexpr bool names_table(Entry entry, unsigned) {
        return (entry & (kValid | kReadable | kWritable | kExecutable)) == kValid;
    }
    static constexpr mm::PhysAddr address(Entry entry, unsigned) {
        return (entry & kFrameNumber) << kFrameNumberShift;
    }
    static constexpr std::uint32_t protection(Entry entry, unsigned) {
        return ((entry & kReadable) != 0 ? +kRead : 0) | ((entry & kWritable) != 0 ? +kWrite : 0);
    }
    static constexpr bool plain_leaf(Entry entry, unsigned level) {
        return present(entry) && (level == 0 || (entry & kReadable) != 0);
    }
    static constexpr Entry kind_bits(Entry, unsigned) { return kValid | kReadable; }

    // --- entries made ---
    static constexpr Entry make_table(mm::PhysAddr table, unsigned) {
        return table >> kFrameNumberShift | kValid;
    }
    // A leaf that can be written and not read is reserved.
    static constexpr Entry make_leaf(mm::PhysAddr page, std::uint64_t, std::uint32_t protection,
                                     Attributes) {
        return page >> kFrameNumberShift | kValid | kUser | kAccessed | kReadable |
               ((protection & kWrite) != 0 ? kWritable | kDirty : 0);
    }
    static constexpr Entry leaf_step(std::uint64_t size) { return size >> kFrameNumberShift; }
};

/// With Svnapot: 64 KiB in sixteen entries, each with N and a frame number that ends in 1000.
struct RiscV64Svnapot : RiscV64 {
    static constexpr Entry kNaturallyAligned = Entry{1} << 63;  // N
    static constexpr std::uint64_t kNapotSize = 64 << 10;

    // --- entries read ---
    static constexpr std::uint64_t leaf_size(Entry entry, unsigned level) {
        return (entry & kNaturallyAligned) != 0 ? kNapotSize
                                                : std::uint64_t{1} << Geometry::shift_of(level);
    }
    static constexpr bool plain_leaf(Entry entry, unsigned level) {
        return RiscV64::plain_leaf(entry, level) && (entry & kNaturallyAligned) == 0;
    }
    static constexpr Entry kind_bits(Entry leaf, unsigned level) {
        return RiscV64::kind_bits(leaf, level) | kNaturallyAligned;
    }

    // --- entries made ---
    static constexpr Entry make_leaf(mm::PhysAddr page, std::uint64_t page_size,
                                     std::uint32_t protection, Attributes attributes) {
        const Entry leaf = RiscV64::make_leaf(page, page_size, protection, attributes);
        return page_size != kNapotSize
                   ? leaf
                   : leaf | kNaturallyAligned | kNapotSize / 2 >> kFrameNumberShift;
    }
};

}  // namespace kvmiommu::iommu::pgtable
