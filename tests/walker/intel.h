// SPDX-License-Identifier: MIT
//
// VT-d second stage: Intel Virtualization Technology for Directed I/O, Architecture Specification
// 4.1, section 9.8 "Second-Stage Paging Entries". First stage and AMD's version 2: section 9.7, and
// AMD64 Architecture Programmer's Manual, volume 2, section 5.3.

#pragma once

#include "walker.h"

namespace walker {

inline Format vtd_second_stage(unsigned levels) {
    const auto decode = [=](std::uint64_t entry, std::size_t level) {
        const bool last = level + 1 == levels;
        Decoded found;
        found.readable = field(entry, 0, 0) != 0;
        found.writable = field(entry, 1, 1) != 0;
        if (!found.readable && !found.writable) {
            must(entry == 0, "something in an entry without rights", entry);
            return found;
        }
        must(field(entry, 2, 2) == 0 && field(entry, 63, 52) == 0, "reserved bits", entry);
        found.address = field(entry, 51, 12) << 12;
        const bool large = field(entry, 7, 7) != 0;
        if (!last && !large) {
            must(field(entry, 11, 8) == 0, "a leaf's bits in a table's entry", entry);
            found.kind = Decoded::Kind::table;
            return found;
        }
        // Pages of 2 MiB and of 1 GiB, no larger ones.
        must(last ? !large : levels - level <= 3, "a large page at a level that has none", entry);
        found.kind = Decoded::Kind::page;
        found.page_size = std::uint64_t{1} << (12 + 9 * (levels - 1 - level));
        found.accessed = field(entry, 8, 8) != 0;
        found.dirty = field(entry, 9, 9) != 0;
        found.coherent = field(entry, 11, 11) != 0;
        must(field(found.address, 51, 0) % found.page_size == 0, "reserved address bits", entry);
        return found;
    };
    return {same_levels(levels, 9, 12), 8, false, decode};
}

inline Format x86_64(unsigned levels) {
    const auto decode = [=](std::uint64_t entry, std::size_t level) {
        const bool last = level + 1 == levels;
        Decoded found;
        if (field(entry, 0, 0) == 0) {
            must(entry == 0, "something in an entry that is not present", entry);
            return found;
        }
        must(field(entry, 62, 52) == 0, "reserved bits", entry);
        must(field(entry, 2, 2) == 1, "a supervisor's entry", entry);
        found.readable = true;
        found.writable = field(entry, 1, 1) != 0;
        found.address = field(entry, 51, 12) << 12;
        const bool large = field(entry, 7, 7) != 0;
        if (!last && !large) {
            must(found.writable, "a table that takes rights away", entry);
            found.kind = Decoded::Kind::table;
            return found;
        }
        must(last ? !large : levels - level <= 3, "a large page at a level that has none", entry);
        found.kind = Decoded::Kind::page;
        found.page_size = std::uint64_t{1} << (12 + 9 * (levels - 1 - level));
        found.accessed = field(entry, 5, 5) != 0;
        found.dirty = field(entry, 6, 6) != 0;
        return found;
    };
    return {same_levels(levels, 9, 12), 8, false, decode};
}

}  // namespace walker
