// SPDX-License-Identifier: MIT
//
// Reads page tables as hardware does, by the specifications alone: nothing of the engine that wrote
// them is included here or known. What an entry must not say is a finding of its own.

#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <stdexcept>
#include <string>
#include <vector>

namespace walker {

/// Bytes of physical memory, as they lie there.
using Memory = std::function<std::vector<std::uint8_t>(std::uint64_t address, std::size_t bytes)>;

/// What an entry says.
struct Decoded {
    enum class Kind { nothing, table, page };

    Kind kind = Kind::nothing;
    std::uint64_t address = 0;    // of the table or of the page
    std::uint64_t page_size = 0;  // in bytes
    bool readable = false;
    bool writable = false;
    bool dirty = false;
    bool accessed = false;
    bool coherent = false;  // DMA snoops the processor's caches, whatever the device asks for
    // Levels between this one and the table's: their bits of an iova must be 0.
    unsigned skipped = 0;
};

/// An entry that the specification does not allow.
struct Malformed : std::runtime_error {
    using std::runtime_error::runtime_error;
};

inline void must(bool holds, const std::string& what, std::uint64_t entry) {
    if (!holds) {
        char number[32];
        std::snprintf(number, sizeof number, " in %#llx", static_cast<unsigned long long>(entry));
        throw Malformed(what + number);
    }
}

/// Bits `high` down to `low` of a number.
constexpr std::uint64_t field(std::uint64_t value, unsigned high, unsigned low) {
    return value >> low & ((std::uint64_t{2} << (high - low)) - 1);
}

/// A level of a format, as the specification counts tables: how many entries a table has, and what
/// one of them stands for.
struct Level {
    unsigned index_bits;
    unsigned shift;
};

/// A format: its levels from the root down, the size of an entry, and what an entry says.
struct Format {
    std::vector<Level> levels;
    unsigned entry_bytes = 8;
    bool big_endian = false;
    std::function<Decoded(std::uint64_t entry, std::size_t level)> decode;
};

struct Page {
    std::uint64_t address;
    std::uint64_t size;
    bool readable;
    bool writable;
    bool dirty;
    bool accessed = false;
    bool coherent = false;

    bool operator==(const Page&) const = default;
};

/// All that a tree maps, by iova, and all tables that it is made of.
struct Tree {
    std::map<std::uint64_t, Page> pages;
    std::set<std::uint64_t> tables;
};

class Reader {
  public:
    Reader(Format format, Memory memory) : format_(std::move(format)), memory_(std::move(memory)) {}

    /// Reads everything below a root. A table that is named twice is malformed.
    Tree read(std::uint64_t root) const {
        Tree tree;
        visit(tree, root, 0, 0);
        return tree;
    }

    /// What hardware finds for one iova; nothing: a fault.
    std::optional<Page> at(std::uint64_t root, std::uint64_t iova) const {
        const Level& first = format_.levels.front();
        if (first.shift + first.index_bits < 64 && iova >> (first.shift + first.index_bits) != 0) {
            return std::nullopt;
        }
        std::uint64_t table = root;
        for (std::size_t level = 0;;) {
            const auto [index_bits, shift] = format_.levels.at(level);
            const std::uint64_t index = field(iova >> shift, index_bits - 1, 0);
            const auto bytes = memory_(table + index * format_.entry_bytes, format_.entry_bytes);
            const std::uint64_t entry = entry_of(bytes, 0);
            const Decoded found = format_.decode(entry, level);
            if (found.kind == Decoded::Kind::nothing) {
                return std::nullopt;
            }
            if (found.kind == Decoded::Kind::page) {
                check(found, std::uint64_t{1} << shift, entry);
                return page_of(found);
            }
            level += 1 + found.skipped;
            const Level& next = format_.levels.at(level);
            if (found.skipped != 0 && field(iova, shift - 1, next.shift + next.index_bits) != 0) {
                return std::nullopt;
            }
            table = found.address;
        }
    }

  private:
    void visit(Tree& tree, std::uint64_t table, std::size_t level, std::uint64_t iova) const {
        must(tree.tables.insert(table).second, "a table that is named twice", table);
        const auto [index_bits, shift] = format_.levels.at(level);
        const std::size_t count = std::size_t{1} << index_bits;
        const auto bytes = memory_(table, count * format_.entry_bytes);
        for (std::size_t index = 0; index < count; ++index) {
            const std::uint64_t entry = entry_of(bytes, index);
            const std::uint64_t at = iova + (static_cast<std::uint64_t>(index) << shift);
            const Decoded found = format_.decode(entry, level);
            if (found.kind == Decoded::Kind::table) {
                visit(tree, found.address, level + 1 + found.skipped, at);
            } else if (found.kind == Decoded::Kind::page) {
                add(tree, at, std::uint64_t{1} << shift, found, entry);
            }
        }
    }

    static void check(const Decoded& found, std::uint64_t span, std::uint64_t entry) {
        must(found.page_size >= span, "a page smaller than its entry", entry);
        must(found.address % found.page_size == 0, "a page that is not aligned", entry);
    }
    static Page page_of(const Decoded& found) {
        return {found.address, found.page_size, found.readable, found.writable,
                found.dirty,   found.accessed,  found.coherent};
    }

    // A page of several entries is there once for each, always the same but for what the hardware
    // itself writes into the one that it meets.
    static void add(Tree& tree, std::uint64_t at, std::uint64_t span, const Decoded& found,
                    std::uint64_t entry) {
        check(found, span, entry);
        const Page page = page_of(found);
        const std::uint64_t start = at / found.page_size * found.page_size;
        if (at == start) {
            tree.pages.emplace(start, page);
            return;
        }
        const auto first = tree.pages.find(start);
        must(first != tree.pages.end(), "a page whose first entry is missing", entry);
        first->second.dirty |= page.dirty;
        first->second.accessed |= page.accessed;
        Page same = page;
        same.dirty = first->second.dirty;
        same.accessed = first->second.accessed;
        must(first->second == same, "a page whose entries differ", entry);
    }

    std::uint64_t entry_of(const std::vector<std::uint8_t>& bytes, std::size_t index) const {
        std::uint64_t entry = 0;
        for (unsigned at = 0; at < format_.entry_bytes; ++at) {
            const unsigned place = format_.big_endian ? at : format_.entry_bytes - 1 - at;
            entry = entry << 8 | bytes[index * format_.entry_bytes + place];
        }
        return entry;
    }

    const Format format_;
    const Memory memory_;
};

/// `count` levels of `index_bits` each over pages of 2^`page_shift` bytes.
inline std::vector<Level> same_levels(unsigned count, unsigned index_bits, unsigned page_shift) {
    std::vector<Level> levels;
    for (unsigned at = count; at-- > 0;) {
        levels.push_back({index_bits, page_shift + at * index_bits});
    }
    return levels;
}

}  // namespace walker
