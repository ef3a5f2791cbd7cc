// SPDX-License-Identifier: MIT
//
// Rows of words, read and written with the widest instructions of the processor. They are selected
// when the program is loaded, also in a build for the oldest x86-64.
//
// Each word is read or written atomically: a concurrent walk reads an old word or a new one.

#pragma once

#include <cstddef>
#include <cstdint>

namespace kvmiommu::wide {

/// For shorter rows a loop is faster than a call.
inline constexpr std::size_t kShort = 8;

/// Stores `count` words: `first`, first + step, first + 2 * step and so on.
void fill(std::uint64_t* row, std::size_t count, std::uint64_t first, std::uint64_t step);
/// As fill(), if all words are as `old` in the bits of `mask`. False: one is not, and nothing was
/// stored.
bool replace(std::uint64_t* row, std::size_t count, std::uint64_t old, std::uint64_t mask,
             std::uint64_t first, std::uint64_t step);
/// As replace(), for words in the other byte order; `old` and `mask` are in that order too.
bool replace_swapped(std::uint64_t* row, std::size_t count, std::uint64_t old, std::uint64_t mask,
                     std::uint64_t first, std::uint64_t step);

/// The same for words of four bytes, with a simple loop.
void fill(std::uint32_t* row, std::size_t count, std::uint32_t first, std::uint32_t step);
bool replace(std::uint32_t* row, std::size_t count, std::uint32_t old, std::uint32_t mask,
             std::uint32_t first, std::uint32_t step);

}  // namespace kvmiommu::wide
