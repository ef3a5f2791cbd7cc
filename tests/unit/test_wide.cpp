// SPDX-License-Identifier: MIT

#include <algorithm>
#include <bit>
#include <cstdint>
#include <vector>

#include "base/wide.h"
#include "support.h"

using namespace kvmiommu;

TEST_CASE("a row of any length and place is filled, and nothing beside it") {
    constexpr std::uint64_t kFirst = 0xfff0'0000'0000'1003;
    constexpr std::uint64_t kStep = 0x8000'0000'0000'1000;  // wraps
    constexpr std::uint64_t kElse = 0x1234;
    for (std::size_t start = 0; start < 9; ++start) {
        for (std::size_t count = 0; count < 40; ++count) {
            std::vector<std::uint64_t> row(start + count + 9, kElse);
            wide::fill(row.data() + start, count, kFirst, kStep);
            bool right = true;
            for (std::size_t at = 0; at < row.size(); ++at) {
                const bool inside = at >= start && at < start + count;
                right &= row[at] == (inside ? kFirst + (at - start) * kStep : kElse);
            }
            CHECK(right);
        }
    }
}

TEST_CASE("a row is replaced when all its words are as they should be, else it stays") {
    constexpr std::uint64_t kOld = 0xf0;
    constexpr std::uint64_t kMask = 0x8000'0000'0000'0030;
    for (std::size_t count = 1; count < 40; ++count) {
        std::vector<std::uint64_t> row(count);
        for (std::size_t at = 0; at < count; ++at) {
            row[at] = kOld ^ (at << 8);  // they differ where nobody looks
        }
        for (std::size_t odd = 0; odd < count; ++odd) {
            for (const std::uint64_t bit : {0x10ull, 0x20ull, 1ull << 63}) {
                std::vector<std::uint64_t> other = row;
                other[odd] ^= bit;
                const std::vector<std::uint64_t> before = other;
                CHECK_FALSE(wide::replace(other.data(), count, kOld, kMask, 1, 1));
                CHECK(other == before);
                CHECK_FALSE(wide::replace_swapped(other.data(), count, kOld, kMask, 1, 1));
                CHECK(other == before);
            }
        }
        std::vector<std::uint64_t> filled = row;
        std::vector<std::uint64_t> swapped = row;
        CHECK(wide::replace(filled.data(), count, kOld, kMask, 0x1003, 0x1000));
        CHECK(wide::replace_swapped(swapped.data(), count, kOld, kMask, 0x1003, 0x1000));
        bool right = true;
        for (std::size_t at = 0; at < count; ++at) {
            right &= filled[at] == 0x1003 + at * 0x1000;
            right &= swapped[at] == std::byteswap(filled[at]);
        }
        CHECK(right);
    }
    CHECK(wide::replace(static_cast<std::uint64_t*>(nullptr), 0, 1, 1, 2, 2));
}
