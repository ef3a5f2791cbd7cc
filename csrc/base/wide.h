// SPDX-License-Identifier: MIT
//
// Rows of words, read and written with registers as wide as the processor has. Each kind of
// processor has functions of its own, an instance of the template in wide_rows.h; the widest kind
// that the processor runs is selected when the program is loaded, also in a build for the oldest
// x86-64.
//
// Each word is read or written atomically: a concurrent walk reads an old word or a new one.

#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

namespace kvmiommu::wide {

/// For shorter rows a loop is faster than a call.
inline constexpr std::size_t kShort = 8;

/// The functions of one kind of processor.
struct Kind {
    /// "avx512", "avx2", "x86-64-v2", "neon" or, word by word, "words".
    const char* name;

    /// Stores `count` words: `first`, first + step, first + 2 * step and so on.
    void (*fill)(std::uint64_t* row, std::size_t count, std::uint64_t first, std::uint64_t step);
    /// As fill, if all words are as `old` in the bits of `mask`. False: one is not, and nothing was
    /// stored.
    bool (*replace)(std::uint64_t* row, std::size_t count, std::uint64_t old, std::uint64_t mask,
                    std::uint64_t first, std::uint64_t step);
    /// As replace, for words in the other byte order; `old` and `mask` are in that order too.
    bool (*replace_swapped)(std::uint64_t* row, std::size_t count, std::uint64_t old,
                            std::uint64_t mask, std::uint64_t first, std::uint64_t step);
};

/// The kinds that this processor runs, the widest first; one at least.
std::span<const Kind> kinds();
/// The one of that name; null if this processor does not run it.
const Kind* find(std::string_view name);
/// The kind that the functions below use: the first of kinds(), or the one that the build forces
/// (KVMIOMMU_WIDE).
const Kind& in_use();
/// Changes it for the whole process, for tests and programs that measure. No other thread may use
/// rows meanwhile.
void use(const Kind& kind);

namespace detail {
// A copy, so that a call loads one pointer.
extern Kind selected;
}  // namespace detail

inline void fill(std::uint64_t* row, std::size_t count, std::uint64_t first, std::uint64_t step) {
    detail::selected.fill(row, count, first, step);
}
inline bool replace(std::uint64_t* row, std::size_t count, std::uint64_t old, std::uint64_t mask,
                    std::uint64_t first, std::uint64_t step) {
    return detail::selected.replace(row, count, old, mask, first, step);
}
inline bool replace_swapped(std::uint64_t* row, std::size_t count, std::uint64_t old,
                            std::uint64_t mask, std::uint64_t first, std::uint64_t step) {
    return detail::selected.replace_swapped(row, count, old, mask, first, step);
}

/// The same for words of four bytes, with a simple loop.
void fill(std::uint32_t* row, std::size_t count, std::uint32_t first, std::uint32_t step);
bool replace(std::uint32_t* row, std::size_t count, std::uint32_t old, std::uint32_t mask,
             std::uint32_t first, std::uint32_t step);

}  // namespace kvmiommu::wide
