// SPDX-License-Identifier: MIT

#include <algorithm>
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

TEST_CASE("what words have in common is found wherever one differs") {
    for (std::size_t count = 1; count < 40; ++count) {
        for (std::size_t odd = 0; odd < count; ++odd) {
            std::vector<std::uint64_t> row(count, 0xf0);
            row[odd] = 0x33;
            const wide::Bits bits = wide::scan(row.data(), count);
            CHECK(bits.all == (count == 1 ? 0x33u : 0x30u));
            CHECK(bits.any == (count == 1 ? 0x33u : 0xf3u));
        }
    }
    CHECK(wide::scan(static_cast<const std::uint64_t*>(nullptr), 0).any == 0);
}
