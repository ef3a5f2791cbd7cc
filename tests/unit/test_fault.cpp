// SPDX-License-Identifier: MIT

#include "base/fault.h"

#include <doctest/doctest.h>

#include <thread>

namespace kvmiommu {
namespace {

TEST_CASE("no point fails unless it is told to") {
    FaultPoints faults;
    CHECK_FALSE(faults.fails());
    CHECK(faults.left() == 0);
}

TEST_CASE("the n-th point fails, and only that one") {
    FaultPoints faults;
    for (std::uint32_t nth = 1; nth < 5; ++nth) {
        faults.fail_nth(nth);
        for (std::uint32_t point = 1; point < 10; ++point) {
            CHECK(faults.left() == (point <= nth ? nth - point + 1 : 0));
            CHECK(faults.fails() == (point == nth));
        }
    }
}

TEST_CASE("a failure that was not met can be called off") {
    FaultPoints faults;
    faults.fail_nth(1);
    faults.fail_nth(0);
    CHECK_FALSE(faults.fails());
}

TEST_CASE("of two threads that meet the last point one fails") {
    for (int round = 0; round < 200; ++round) {
        FaultPoints faults;
        faults.fail_nth(3);
        int failed[2] = {};
        const auto meet = [&faults](int& count) {
            for (int i = 0; i < 3; ++i) {
                count += faults.fails();
            }
        };
        std::thread other(meet, std::ref(failed[0]));
        meet(failed[1]);
        other.join();
        CHECK(failed[0] + failed[1] == 1);
        CHECK(faults.left() == 0);
    }
}

}  // namespace
}  // namespace kvmiommu
