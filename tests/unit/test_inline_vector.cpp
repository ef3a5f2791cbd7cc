// SPDX-License-Identifier: MIT

#include <doctest/doctest.h>

#include <cstdint>
#include <random>
#include <utility>
#include <vector>

#include "base/inline_vector.h"

namespace kvmiommu {
namespace {

using Numbers = InlineVector<std::uint64_t, 2>;

std::vector<std::uint64_t> elements(const Numbers& numbers) {
    return {numbers.begin(), numbers.end()};
}

TEST_CASE("an inline vector holds what a vector holds, whatever is done to both") {
    std::mt19937_64 random(1);
    const auto below = [&](std::uint64_t end) { return random() % end; };
    Numbers numbers;
    std::vector<std::uint64_t> expected;
    for (std::uint64_t step = 0; step < 20'000; ++step) {
        switch (below(8)) {
            case 0:
                numbers.clear();
                expected.clear();
                break;
            case 1: {
                Numbers moved(std::move(numbers));
                CHECK(numbers.empty());
                numbers = std::move(moved);
                CHECK(moved.empty());
                break;
            }
            case 2:
            case 3: {
                const std::uint64_t first = below(expected.size() + 1);
                const std::uint64_t last = first + below(expected.size() - first + 1);
                const std::vector<std::uint64_t> others(below(4), step);
                numbers.replace(numbers.begin() + first, numbers.begin() + last, others);
                const auto at = expected.erase(expected.begin() + static_cast<long>(first),
                                               expected.begin() + static_cast<long>(last));
                expected.insert(at, others.begin(), others.end());
                break;
            }
            case 4:
                if (!expected.empty()) {
                    numbers.push_back(numbers.back());
                    expected.push_back(expected.back());
                }
                break;
            default:
                numbers.push_back(step);
                expected.push_back(step);
        }
        REQUIRE(elements(numbers) == expected);
        REQUIRE(numbers.size() == expected.size());
        REQUIRE(numbers.empty() == expected.empty());
    }
}

}  // namespace
}  // namespace kvmiommu
