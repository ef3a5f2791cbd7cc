// SPDX-License-Identifier: MIT
//
// Sv39, Sv48, Sv57: The RISC-V Instruction Set Manual, volume II, Privileged Architecture, section
// 12.4.1 "Addressing and Memory Protection"; chapter 13 "Svnapot": table "Page table entry
// encodings when PTE.N=1".

#pragma once

#include "walker.h"

namespace walker {

inline Format riscv(unsigned levels, bool svnapot) {
    const auto decode = [=](std::uint64_t entry, std::size_t level) {
        const unsigned above = levels - 1 - static_cast<unsigned>(level);
        Decoded found;
        if (field(entry, 0, 0) == 0) {
            must(entry == 0, "something in an entry that is not valid", entry);
            return found;
        }
        must(field(entry, 62, 54) == 0, "reserved bits", entry);
        found.readable = field(entry, 1, 1) == 1;
        found.writable = field(entry, 2, 2) == 1;
        const bool executable = field(entry, 3, 3) == 1;
        const bool contiguous = field(entry, 63, 63) == 1;
        must(!contiguous || svnapot, "N without Svnapot", entry);
        must(found.readable || !found.writable, "writeable and not readable is reserved", entry);
        std::uint64_t frame = field(entry, 53, 10);
        if (!found.readable && !executable) {
            must(above != 0, "a table at the last level", entry);
            must(field(entry, 7, 4) == 0 && !contiguous, "a leaf's bits in a table's entry", entry);
            found.kind = Decoded::Kind::table;
            found.address = frame << 12;
            return found;
        }
        must(field(entry, 4, 4) == 1, "not for a user", entry);
        must(field(entry, 6, 6) == 1, "not accessed: an access would fault", entry);
        must(!found.writable || field(entry, 7, 7) == 1, "not dirty: a write would fault", entry);
        found.kind = Decoded::Kind::page;
        found.accessed = true;
        found.dirty = field(entry, 7, 7) == 1;
        found.page_size = std::uint64_t{1} << (12 + 9 * above);
        if (contiguous) {
            must(above == 0 && field(frame, 3, 0) == 8, "a reserved size", entry);
            found.page_size = 64 << 10;
            frame &= ~std::uint64_t{0xf};
        }
        found.address = frame << 12;
        return found;
    };
    return {same_levels(levels, 9, 12), 8, false, decode};
}

}  // namespace walker
