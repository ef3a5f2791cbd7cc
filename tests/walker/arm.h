// SPDX-License-Identifier: MIT
//
// VMSAv8-64: Arm Architecture Reference Manual for A-profile, DDI 0487, section D8.3 (descriptors),
// D8.2.2 (granules), D8.4 (permissions). Short descriptors: Arm Architecture Reference Manual
// ARMv7-A and ARMv7-R, DDI 0406C, section B3.5.1.

#pragma once

#include "walker.h"

namespace walker {

/// `granule` is 12, 14 or 16; `roots` tables lie next to each other at the top, a power of two.
inline Format arm_v8(unsigned stage, unsigned granule, unsigned levels, unsigned roots = 1) {
    const auto decode = [=](std::uint64_t entry, std::size_t level) {
        const unsigned above = levels - 1 - static_cast<unsigned>(level);  // levels below this one
        Decoded found;
        if (field(entry, 0, 0) == 0) {
            must(entry == 0, "something in an entry that is not valid", entry);
            return found;
        }
        found.address = field(entry, 47, granule) << granule;
        if (granule == 16) {
            found.address |= field(entry, 15, 12) << 48;
        } else if (granule == 14) {
            must(field(entry, 13, 12) == 0, "reserved bits", entry);
        }
        must(field(entry, 50, 48) == 0, "reserved bits", entry);
        if (above != 0 && field(entry, 1, 1) == 1) {
            must(field(entry, 63, 59) == 0, "a table that takes rights away", entry);
            must(field(entry, 11, 2) == 0, "a leaf's bits in a table's entry", entry);
            found.kind = Decoded::Kind::table;
            return found;
        }
        must(above != 0 || field(entry, 1, 1) == 1, "a block at the last level", entry);
        // 4 KiB: blocks of 2 MiB and 1 GiB; 16 KiB: of 32 MiB; 64 KiB: of 512 MiB.
        must(above <= (granule == 12 ? 2u : 1u), "a block at a level that has none", entry);
        must(field(entry, 10, 10) == 1, "no access flag: an access would fault", entry);
        must(field(entry, 9, 8) != 1, "reserved shareability", entry);
        // Its neighbours would have to agree, which is not looked at.
        must(field(entry, 52, 52) == 0, "one of several contiguous pages", entry);
        found.kind = Decoded::Kind::page;
        found.page_size = std::uint64_t{1} << (granule + above * (granule - 3));
        found.accessed = true;
        // D8.4.6: with DBM the right to write is there, and the bit for it says "written to".
        const bool modifier = field(entry, 51, 51) == 1;
        if (stage == 1) {
            must(field(entry, 6, 6) == 1, "not for unprivileged accesses", entry);
            const bool read_only = field(entry, 7, 7) == 1;
            found.readable = true;
            found.writable = !read_only || modifier;
            found.dirty = modifier && !read_only;
        } else {
            found.readable = field(entry, 6, 6) == 1;
            found.writable = field(entry, 7, 7) == 1 || modifier;
            found.dirty = modifier && field(entry, 7, 7) == 1;
        }
        return found;
    };
    auto all = same_levels(levels, granule - 3, granule);
    for (unsigned more = roots; more > 1; more /= 2) {
        ++all.front().index_bits;
    }
    return {all, 8, false, decode};
}

inline Format arm_v7s() {
    const auto decode = [](std::uint64_t entry, std::size_t level) {
        Decoded found;
        const std::uint64_t kind = field(entry, 1, 0);
        if (kind == 0) {
            must(entry == 0, "something in an entry that faults", entry);
            return found;
        }
        const unsigned permissions = level == 0 ? 10 : 4;  // where AP[1:0] is
        const unsigned high_permission = level == 0 ? 15 : 9;
        if (level == 0 && kind == 1) {
            must(field(entry, 9, 2) == 0, "bits beside a table's address", entry);
            found.kind = Decoded::Kind::table;
            found.address = field(entry, 31, 10) << 10;
            return found;
        }
        must(field(entry, permissions, permissions) == 1, "no access flag", entry);
        must(field(entry, permissions + 1, permissions + 1) == 1, "not for unprivileged accesses",
             entry);
        found.accessed = true;
        found.kind = Decoded::Kind::page;
        found.readable = true;
        found.writable = field(entry, high_permission, high_permission) == 0;
        if (level == 0) {
            const bool super = field(entry, 18, 18) == 1;
            found.page_size = super ? 16 << 20 : 1 << 20;
            must(!super || field(entry, 23, 20) == 0, "address bits above 32", entry);
        } else {
            found.page_size = kind == 1 ? 64 << 10 : 4 << 10;
        }
        found.address = entry & ~(found.page_size - 1);
        return found;
    };
    return {{{12, 20}, {8, 12}}, 4, false, decode};
}

}  // namespace walker
