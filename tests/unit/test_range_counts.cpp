// SPDX-License-Identifier: MIT

#include <array>
#include <utility>
#include <vector>

#include "base/range_counts.h"
#include "support.h"

namespace kvmiommu {
namespace {

using test::Numbers;

TEST_CASE("a run that is counted once is one stretch") {
    RangeCounts counts;
    CHECK(counts.empty());
    counts.add(100, 262144);
    CHECK(counts.counted_pages() == 262144);
    CHECK(counts.total() == 262144);
    CHECK(counts.count(99) == 0);
    CHECK(counts.count(100) == 1);
    CHECK(counts.count(262243) == 1);
    CHECK(counts.count(262244) == 0);
    std::vector<std::array<std::uint64_t, 3>> stretches;
    counts.each(0, 300000, [&](std::uint64_t first, std::uint64_t pages, std::uint32_t count) {
        stretches.push_back({first, pages, count});
    });
    CHECK(stretches.size() == 3);
    CHECK(stretches[1] == std::array<std::uint64_t, 3>{100, 262144, 1});
}

TEST_CASE("neighbours with the same count become one stretch") {
    RangeCounts counts;
    counts.add(0, 4);
    counts.add(4, 4);
    std::uint64_t stretches = 0;
    counts.each(0, 8, [&](std::uint64_t, std::uint64_t, std::uint32_t) { ++stretches; });
    CHECK(stretches == 1);
}

// What RangeCounts must be the same as: a count for each page.
class Brute {
  public:
    static constexpr std::uint64_t kPages = 48;

    void run(std::uint64_t seed, unsigned steps) {
        Numbers numbers(seed);
        for (unsigned step = 0; step < steps; ++step) {
            std::uint64_t first = numbers.below(kPages);
            std::uint64_t pages = 1 + numbers.below(kPages - first);
            if (numbers.below(100) < 45) {
                add(first, pages);
                continue;
            }
            // As much of it as is counted, from its first counted page on.
            while (pages != 0 && pages_[first] == 0) {
                ++first;
                --pages;
            }
            std::uint64_t counted = 0;
            while (counted < pages && pages_[first + counted] != 0) {
                ++counted;
            }
            if (counted != 0) {
                remove(first, counted);
            }
        }
        for (std::uint64_t page = 0; page < kPages; ++page) {
            while (pages_[page] != 0) {
                remove(page, 1);
            }
        }
        CHECK(counts_.empty());
    }

  private:
    void add(std::uint64_t first, std::uint64_t pages) {
        counts_.add(first, pages);
        for (std::uint64_t page = first; page < first + pages; ++page) {
            ++pages_[page];
        }
        check();
    }

    void remove(std::uint64_t first, std::uint64_t pages) {
        std::array<bool, kPages> freed{};
        counts_.remove(first, pages, [&](std::uint64_t at, std::uint64_t run) {
            for (std::uint64_t page = at; page < at + run; ++page) {
                CHECK_FALSE(freed[page]);
                freed[page] = true;
            }
        });
        for (std::uint64_t page = 0; page < kPages; ++page) {
            const bool within = first <= page && page < first + pages;
            CHECK(freed[page] == (within && pages_[page] == 1));
            pages_[page] -= within;
        }
        check();
    }

    void check() const {
        std::uint64_t counted = 0;
        std::uint64_t total = 0;
        for (std::uint64_t page = 0; page < kPages; ++page) {
            REQUIRE(counts_.count(page) == pages_[page]);
            counted += pages_[page] != 0;
            total += pages_[page];
        }
        REQUIRE(counts_.counted_pages() == counted);
        REQUIRE(counts_.total() == total);
        REQUIRE(counts_.empty() == (total == 0));
        // Every window is cut into stretches that follow each other and tell the truth.
        for (const auto& [start, pages] : {std::pair{0UL, kPages}, {7UL, 23UL}, {47UL, 1UL}}) {
            std::uint64_t next = start;
            std::uint32_t before = ~0U;
            counts_.each(start, pages,
                         [&](std::uint64_t first, std::uint64_t run, std::uint32_t count) {
                             REQUIRE(first == next);
                             REQUIRE(run != 0);
                             REQUIRE(count != before);
                             for (std::uint64_t page = first; page < first + run; ++page) {
                                 REQUIRE(pages_[page] == count);
                             }
                             next = first + run;
                             before = count;
                         });
            REQUIRE(next == start + pages);
        }
    }

    RangeCounts counts_;
    std::array<std::uint32_t, kPages> pages_{};
};

TEST_CASE("counts of ranges are what counts of single pages are") {
    for (std::uint64_t seed = 1; seed <= 20; ++seed) {
        CAPTURE(seed);
        Brute().run(seed, 300);
    }
}

}  // namespace
}  // namespace kvmiommu
