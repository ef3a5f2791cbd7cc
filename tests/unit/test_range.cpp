// SPDX-License-Identifier: MIT

#include <doctest/doctest.h>

#include <algorithm>
#include <optional>

#include "base/bits.h"
#include "base/range.h"

namespace kvmiommu {
namespace {

constexpr std::uint64_t kLast = ~std::uint64_t{0};

TEST_CASE("a range is made of a start and a size, unless it would be empty or wrap") {
    CHECK(Range::of(0x1000, 0x1000) == Range{0x1000, 0x1fff});
    CHECK(Range::of(5, 1) == Range{5, 5});
    CHECK(Range::of(0, kLast) == Range{0, kLast - 1});
    CHECK(Range::of(kLast, 1) == Range{kLast, kLast});
    CHECK(Range::of(kLast - 4095, 4096) == Range{kLast - 4095, kLast});
    CHECK(Range::of(0, 0) == std::nullopt);
    CHECK(Range::of(7, 0) == std::nullopt);
    CHECK(Range::of(kLast, 2) == std::nullopt);
    CHECK(Range::of(4096, kLast - 4094) == std::nullopt);
}

TEST_CASE("the whole 64-bit space is a range, whose size no number can say") {
    CHECK(Range{0, kLast}.size() == 0);
    CHECK(Range{0, kLast}.contains(kLast));
    CHECK(Range{0, kLast}.contains(Range{0, kLast}));
}

TEST_CASE("small ranges relate to each other as the sets of their numbers do") {
    for (std::uint64_t a = 0; a < 6; ++a) {
        for (std::uint64_t b = a; b < 6; ++b) {
            const Range one{a, b};
            CHECK(one.size() == b - a + 1);
            for (std::uint64_t c = 0; c < 6; ++c) {
                CHECK(one.contains(c) == (a <= c && c <= b));
                for (std::uint64_t d = c; d < 6; ++d) {
                    const Range other{c, d};
                    std::uint64_t common = 0;
                    for (std::uint64_t n = 0; n < 6; ++n) {
                        common += one.contains(n) && other.contains(n);
                    }
                    CHECK(one.overlaps(other) == (common != 0));
                    CHECK(one.contains(other) == (common == other.size()));
                    const auto both = one.intersection(other);
                    CHECK(both.has_value() == (common != 0));
                    if (both) {
                        CHECK(both->size() == common);
                        CHECK(one.contains(*both));
                        CHECK(other.contains(*both));
                    }
                }
            }
        }
    }
}

TEST_CASE("powers of two") {
    CHECK_FALSE(is_power_of_two(0));
    CHECK(is_power_of_two(1));
    CHECK(is_power_of_two(std::uint64_t{1} << 63));
    CHECK_FALSE(is_power_of_two(3));
    CHECK_FALSE(is_power_of_two(kLast));
}

TEST_CASE("alignment rounds to multiples, up past the end of the space to 0") {
    CHECK(is_aligned(0, 4096));
    CHECK(is_aligned(8192, 4096));
    CHECK_FALSE(is_aligned(8193, 4096));
    CHECK(is_aligned(8193, 1));
    CHECK(align_down(8191, 4096) == 4096);
    CHECK(align_down(8192, 4096) == 8192);
    CHECK(align_up(8192, 4096) == 8192);
    CHECK(align_up(8193, 4096) == 12288);
    CHECK(align_up(0, 4096) == 0);
    CHECK(align_up(kLast, 4096) == 0);
}

TEST_CASE("the lowest and the highest bit of a number are numbers") {
    CHECK(lowest_bit(0) == 0);
    CHECK(lowest_bit(0b101100) == 0b100);
    CHECK(lowest_bit(std::uint64_t{1} << 63) == std::uint64_t{1} << 63);
    CHECK(highest_bit(0) == 0);
    CHECK(highest_bit(0b101100) == 0b100000);
    CHECK(highest_bit(kLast) == std::uint64_t{1} << 63);
}

TEST_CASE("a mask of all bits below one") {
    CHECK(low_mask(0) == 0);
    CHECK(low_mask(12) == 0xfff);
    CHECK(low_mask(63) == kLast >> 1);
    CHECK(low_mask(64) == kLast);
}

}  // namespace
}  // namespace kvmiommu
