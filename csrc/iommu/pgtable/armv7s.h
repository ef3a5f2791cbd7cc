// SPDX-License-Identifier: MIT
//
// VMSAv7 short-descriptor page tables: 32 bits of iova, entries of four bytes.
// Bits: Arm Architecture Reference Manual ARMv7-A and ARMv7-R, DDI 0406C, section B3.5.1
// "Short-descriptor translation table format descriptors"; access permissions with an access flag,
// section B3.7.1.
//
// Arm counts levels from the root; here as everywhere level 0 has the smallest pages, Arm's
// second level.

#pragma once

#include <bit>
#include <cstdint>

#include "base/bits.h"
#include "iommu/domain.h"
#include "iommu/pgtable/format.h"

namespace kvmiommu::iommu::pgtable {

struct ArmV7s {
    using Entry = std::uint32_t;
    struct Attributes {};

    // --- geometry: a root of 4096 entries of 1 MiB, tables of 256 entries of 4 KiB. The latter
    // fill a quarter of the frame that each takes. ---
    struct Geometry {
        static constexpr unsigned kMostLevels = 2;
        static constexpr unsigned shift_of(unsigned level) {
            return level == 0 ? 12 : level == 1 ? 20 : 32;
        }
        static constexpr unsigned index_bits(unsigned level) { return level == 0 ? 8 : 12; }
        static constexpr std::uint64_t index_mask(unsigned level) {
            return low_mask(index_bits(level));
        }
        static constexpr unsigned level_of(unsigned shift) { return shift < 20 ? 0 : 1; }
    };
    static constexpr unsigned kPageShift = 12;
    static constexpr unsigned kLevels = 2;
    static constexpr auto kByteOrder = std::endian::little;
    static constexpr unsigned kOutputBits = 32;
    static constexpr unsigned kTableBits = 32;

    static constexpr std::uint64_t kSmallSize = 4 << 10;
    static constexpr std::uint64_t kLargeSize = 64 << 10;
    static constexpr std::uint64_t kSectionSize = 1 << 20;
    static constexpr std::uint64_t kSupersectionSize = 16 << 20;

    // Bits 1:0. Bit 0 of a small page is XN.
    static constexpr Entry kKind = 3;
    static constexpr Entry kTable = 1;    // at the first level
    static constexpr Entry kSection = 2;  // at the first level
    static constexpr Entry kLarge = 1;    // at the second level
    static constexpr Entry kSmall = 2;    // at the second level
    static constexpr Entry kSupersection = Entry{1} << 18;
    static constexpr Entry kTableAddress = ~Entry{0x3ff};

    static constexpr Entry kBufferable = Entry{1} << 2;  // B
    static constexpr Entry kCacheable = Entry{1} << 3;   // C
    // AP[0] is bit 4 in pages and bit 10 in sections; the others follow from there, except TEX,
    // which is in large pages where it is in sections.
    static constexpr unsigned permissions_at(unsigned level) { return level == 0 ? 4 : 10; }
    static constexpr Entry kAccessed = Entry{1} << 0;      // AP[0], the access flag
    static constexpr Entry kUnprivileged = Entry{1} << 1;  // AP[1]
    static constexpr Entry kTex = Entry{1} << 2;           // TEX[0]
    static constexpr Entry kReadOnly = Entry{1} << 5;      // AP[2]
    static constexpr Entry kShareable = Entry{1} << 6;     // S
    static constexpr Entry kNotGlobal = Entry{1} << 7;     // nG

    // --- entries read ---
    static constexpr bool present(Entry entry) { return (entry & kKind) != 0; }
    static constexpr bool names_table(Entry entry, unsigned) { return (entry & kKind) == kTable; }
    static constexpr mm::PhysAddr address(Entry entry, unsigned level) {
        if (level != 0 && names_table(entry, level)) {
            return entry & kTableAddress;
        }
        return entry & ~static_cast<Entry>(leaf_size(entry, level) - 1);
    }
    static constexpr std::uint64_t leaf_size(Entry entry, unsigned level) {
        if (level != 0) {
            return (entry & kSupersection) != 0 ? kSupersectionSize : kSectionSize;
        }
        return (entry & kKind) == kLarge ? kLargeSize : kSmallSize;
    }
    // Every leaf can be read.
    static constexpr std::uint32_t protection(Entry entry, unsigned level) {
        return kRead | ((entry >> permissions_at(level) & kReadOnly) == 0 ? +kWrite : 0);
    }
    static constexpr bool plain_leaf(Entry entry, unsigned level) {
        return level == 0 ? (entry & kSmall) != 0 : (entry & (kKind | kSupersection)) == kSection;
    }
    static constexpr Entry kind_bits(Entry, unsigned level) {
        return level == 0 ? kSmall : kKind | kSupersection;
    }

    // --- entries made ---
    static constexpr Entry make_table(mm::PhysAddr table, unsigned) {
        return static_cast<Entry>(table) | kTable;
    }
    static constexpr Entry make_leaf(mm::PhysAddr page, std::uint64_t page_size,
                                     std::uint32_t protection, Attributes) {
        const bool large = page_size == kLargeSize;
        const unsigned shift = permissions_at(page_size < kSectionSize ? 0 : 1);
        const Entry permissions = kAccessed | kUnprivileged | kShareable | kNotGlobal |
                                  ((protection & kWrite) != 0 ? 0 : kReadOnly) | (large ? 0 : kTex);
        return static_cast<Entry>(page) | kind_of(page_size) | permissions << shift |
               (large ? kTex << permissions_at(1) : 0) |
               ((protection & kCache) != 0 ? kBufferable | kCacheable : 0);
    }
    static constexpr Entry leaf_step(std::uint64_t size) { return static_cast<Entry>(size); }
    static constexpr Entry smaller_leaf(Entry leaf, std::uint64_t size, mm::PhysAddr page,
                                        std::uint64_t page_size) {
        const unsigned level = size < kSectionSize ? 0 : 1;
        const std::uint32_t cached = (leaf & kCacheable) != 0 ? +kCache : 0;
        return make_leaf(page, page_size, protection(leaf, level) | cached, {});
    }

  private:
    static constexpr Entry kind_of(std::uint64_t page_size) {
        return page_size == kSmallSize          ? kSmall
               : page_size == kLargeSize        ? kLarge
               : page_size == kSupersectionSize ? kSection | kSupersection
                                                : kSection;
    }
};

}  // namespace kvmiommu::iommu::pgtable
