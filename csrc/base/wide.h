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

/// Rows shorter than this are not worth a call.
inline constexpr std::size_t kShort = 8;

/// Stores `count` words: `first`, first + step, first + 2 * step and so on.
void fill(std::uint64_t* row, std::size_t count, std::uint64_t first, std::uint64_t step);
/// As fill(), if all words are as `old` in the bits of `mask`. False: one is not, and nothing was
/// stored.
bool replace(std::uint64_t* row, std::size_t count, std::uint64_t old, std::uint64_t mask,
             std::uint64_t first, std::uint64_t step);
/// As replace(), each word stored with its bytes in the other order; `old` and `mask` are as words
/// lie there.
bool replace_swapped(std::uint64_t* row, std::size_t count, std::uint64_t old, std::uint64_t mask,
                     std::uint64_t first, std::uint64_t step);

/// The same for words of four bytes, which are not worth more than a loop.
void fill(std::uint32_t* row, std::size_t count, std::uint32_t first, std::uint32_t step);
bool replace(std::uint32_t* row, std::size_t count, std::uint32_t old, std::uint32_t mask,
             std::uint32_t first, std::uint32_t step);

}  // namespace kvmiommu::wide
