// SPDX-License-Identifier: MIT

#include "base/wide.h"

#include <algorithm>
#include <bit>
#include <cstdint>
#include <string>
#include <vector>

#include "base/wide_rows.h"
#include "support.h"

using namespace kvmiommu;

namespace {

// What this processor runs, and each number of lanes: compilers make one wide register of several
// that there are, so the lanes of a kind that is lacking are looked at too.
std::vector<wide::Kind> kinds_and_lanes() {
    std::vector<wide::Kind> all{wide::kind_of<1>("1 lane"), wide::kind_of<2>("2 lanes"),
                                wide::kind_of<4>("4 lanes"), wide::kind_of<8>("8 lanes")};
    std::ranges::copy(wide::kinds(), std::back_inserter(all));
    return all;
}

}  // namespace

TEST_CASE("a row of any length and place is filled, and nothing beside it") {
    constexpr std::uint64_t kFirst = 0xfff0'0000'0000'1003;
    constexpr std::uint64_t kStep = 0x8000'0000'0000'1000;  // wraps
    constexpr std::uint64_t kElse = 0x1234;
    for (const wide::Kind& kind : kinds_and_lanes()) {
        CAPTURE(kind.name);
        for (std::size_t start = 0; start < 9; ++start) {
            for (std::size_t count = 0; count < 40; ++count) {
                std::vector<std::uint64_t> row(start + count + 9, kElse);
                kind.fill(row.data() + start, count, kFirst, kStep);
                bool right = true;
                for (std::size_t at = 0; at < row.size(); ++at) {
                    const bool inside = at >= start && at < start + count;
                    right &= row[at] == (inside ? kFirst + (at - start) * kStep : kElse);
                }
                CHECK(right);
            }
        }
    }
}

TEST_CASE("a row is replaced when all its words are as they should be, else it stays") {
    constexpr std::uint64_t kOld = 0xf0;
    constexpr std::uint64_t kMask = 0x8000'0000'0000'0030;
    for (const wide::Kind& kind : kinds_and_lanes()) {
        CAPTURE(kind.name);
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
                    CHECK_FALSE(kind.replace(other.data(), count, kOld, kMask, 1, 1));
                    CHECK(other == before);
                    CHECK_FALSE(kind.replace_swapped(other.data(), count, kOld, kMask, 1, 1));
                    CHECK(other == before);
                }
            }
            std::vector<std::uint64_t> filled = row;
            std::vector<std::uint64_t> swapped = row;
            CHECK(kind.replace(filled.data(), count, kOld, kMask, 0x1003, 0x1000));
            CHECK(kind.replace_swapped(swapped.data(), count, kOld, kMask, 0x1003, 0x1000));
            bool right = true;
            for (std::size_t at = 0; at < count; ++at) {
                right &= filled[at] == 0x1003 + at * 0x1000;
                right &= swapped[at] == std::byteswap(filled[at]);
            }
            CHECK(right);
        }
        CHECK(kind.replace(nullptr, 0, 1, 1, 2, 2));
    }
}

TEST_CASE("the kind in use is among those that the processor runs, and another can be selected") {
    const wide::Kind before = wide::in_use();
    CHECK(wide::find(before.name) != nullptr);
    for (const wide::Kind& kind : wide::kinds()) {
        wide::use(kind);
        CHECK(std::string(wide::in_use().name) == kind.name);
        std::uint64_t row[9]{};
        wide::fill(row, 9, 5, 1);
        CHECK(row[8] == 13);
    }
    wide::use(before);
    CHECK(wide::find("abacus") == nullptr);
}

TEST_CASE("rows of short words are filled and replaced as well") {
    std::uint32_t row[5]{};
    CHECK(wide::replace(row, 4, 0, ~0u, 0xffff'f000, 0x1000));
    CHECK(row[0] == 0xffff'f000);
    CHECK(row[1] == 0);
    CHECK(row[3] == 0x2000);
    CHECK(row[4] == 0);
    CHECK_FALSE(wide::replace(row, 5, 0, ~0u, 7, 0));
    CHECK(row[4] == 0);
    wide::fill(row, 5, 9, 0);
    CHECK(row[4] == 9);
}
