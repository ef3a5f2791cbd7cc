// SPDX-License-Identifier: MIT
//
// AMD host page tables, version 1. AMD I/O Virtualization Technology (IOMMU) Specification, 48882,
// section 2.2.3: figures "I/O Page Table Entry Not Present", "I/O Page Translation Entry" and "I/O
// Page Directory Entry", table "Example Page Size Encodings".

#pragma once

#include "walker.h"

namespace walker {

/// `page_shift` is 12 on hardware; with less, the address field counts smaller pages.
inline Format amd_v1(unsigned levels, unsigned page_shift = 12) {
    const auto decode = [=](std::uint64_t entry, std::size_t level) {
        const unsigned mode = levels - static_cast<unsigned>(level);  // the table's level, from 1
        Decoded found;
        if (field(entry, 0, 0) == 0) {
            must(entry == 0, "something in an entry that is not present", entry);
            return found;
        }
        must(field(entry, 4, 1) == 0 && field(entry, 58, 52) == 0, "reserved bits", entry);
        const std::uint64_t next = field(entry, 11, 9);
        const std::uint64_t granule = std::uint64_t{1} << page_shift;
        std::uint64_t frame = field(entry, 51, 12);
        found.readable = field(entry, 61, 61) != 0;
        found.writable = field(entry, 62, 62) != 0;
        if (next != 0 && next != 7) {
            must(next < mode, "a table of a level that is not below", entry);
            must(found.readable && found.writable, "a table that takes rights away", entry);
            must(field(entry, 6, 6) == 0 && field(entry, 60, 60) == 0, "a leaf's bits", entry);
            found.kind = Decoded::Kind::table;
            found.address = frame * granule;
            found.skipped = mode - 1 - static_cast<unsigned>(next);
            return found;
        }
        std::uint64_t pages = std::uint64_t{1} << (9 * (mode - 1));
        if (next == 7) {
            // The lowest clear bit: below it ones, above it the address.
            pages = 2;
            while ((frame & (pages / 2)) != 0) {
                pages *= 2;
            }
            frame &= ~(pages - 1);
            must(pages > std::uint64_t{1} << (9 * (mode - 1)) && pages < std::uint64_t{1}
                                                                             << 9 * mode,
                 "a page of a size that belongs to another level", entry);
        }
        found.kind = Decoded::Kind::page;
        found.address = frame * granule;
        found.page_size = pages * granule;
        found.accessed = field(entry, 5, 5) != 0;
        found.dirty = field(entry, 6, 6) != 0;
        found.coherent = field(entry, 60, 60) != 0;
        return found;
    };
    auto all = same_levels(levels, 9, page_shift);
    if (all.front().shift + 9 > 64) {
        all.front().index_bits = 64 - all.front().shift;
    }
    return {all, 8, false, decode};
}

}  // namespace walker
