// SPDX-License-Identifier: MIT
//
// Rows of words, read and written as widely as the processor can. Which instructions
// that are is picked when the program is loaded, so a build for the oldest x86-64 has them too.
//
// Each word is read or written whole: what walks a row meanwhile sees an old word or a new one.

#pragma once

#include <cstddef>
#include <cstdint>

namespace kvmiommu::wide {

/// What is common to the words of a row: their AND and their OR.
struct Bits {
    std::uint64_t all;
    std::uint64_t any;
};

/// Rows shorter than this are not worth a call.
inline constexpr std::size_t kShort = 8;

/// AND and OR of `count` words.
Bits scan(const std::uint64_t* row, std::size_t count);
/// Stores `count` words: `first`, first + step, first + 2 * step and so on.
void fill(std::uint64_t* row, std::size_t count, std::uint64_t first, std::uint64_t step);
/// As fill(), if all words are 0. False: one is not, and nothing was stored.
bool fill_empty(std::uint64_t* row, std::size_t count, std::uint64_t first, std::uint64_t step);
/// As fill_empty(), each word with its bytes in the other order.
bool fill_empty_swapped(std::uint64_t* row, std::size_t count, std::uint64_t first,
                        std::uint64_t step);

/// The same for words of four bytes, which are not worth more than a loop.
Bits scan(const std::uint32_t* row, std::size_t count);
void fill(std::uint32_t* row, std::size_t count, std::uint32_t first, std::uint32_t step);
bool fill_empty(std::uint32_t* row, std::size_t count, std::uint32_t first, std::uint32_t step);

}  // namespace kvmiommu::wide
