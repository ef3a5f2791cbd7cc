// SPDX-License-Identifier: MIT
//
// Translation control entries: Linux on Power Architecture Reference, section "TCE": a real page
// number above bit 12, and in the lowest two bits what a device may do. Entries are big-endian.
// With more levels an entry of an upper one names the next table in the same way.

#pragma once

#include "walker.h"

namespace walker {

inline Format tce(unsigned levels, unsigned index_bits, unsigned page_shift) {
    const auto decode = [=](std::uint64_t entry, std::size_t level) {
        Decoded found;
        found.readable = field(entry, 0, 0) == 1;
        found.writable = field(entry, 1, 1) == 1;
        if (!found.readable && !found.writable) {
            must(entry == 0, "something in an entry without rights", entry);
            return found;
        }
        must(field(entry, 11, 2) == 0 && field(entry, 63, 52) == 0, "reserved bits", entry);
        found.address = field(entry, 51, 12) << 12;
        if (level + 1 != levels) {
            must(found.readable && found.writable, "a table that takes rights away", entry);
            found.kind = Decoded::Kind::table;
            return found;
        }
        found.kind = Decoded::Kind::page;
        found.page_size = std::uint64_t{1} << page_shift;
        return found;
    };
    return {same_levels(levels, index_bits, page_shift), 8, true, decode};
}

}  // namespace walker
