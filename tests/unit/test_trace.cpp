// SPDX-License-Identifier: MIT

#include "base/trace.h"

#include <doctest/doctest.h>

#include <string>
#include <thread>

namespace kvmiommu {
namespace {

TraceRecord record(std::int64_t value) {
    TraceRecord made;
    made.call = "ioctl";
    made.value = value;
    return made;
}

TEST_CASE("a trace is off until somebody asks for it") {
    TraceRing trace;
    CHECK_FALSE(trace.on());
    trace.add(record(1));
    CHECK(trace.records().empty());
}

TEST_CASE("a trace keeps the last records, the oldest first") {
    TraceRing trace;
    trace.keep(3);
    CHECK(trace.on());
    trace.add(record(10));
    trace.add(record(11));
    CHECK(trace.records().size() == 2);
    for (std::int64_t value = 12; value < 18; ++value) {
        trace.add(record(value));
    }
    const auto records = trace.records();
    REQUIRE(records.size() == 3);
    for (std::size_t i = 0; i < 3; ++i) {
        CHECK(records[i].value == 15 + static_cast<std::int64_t>(i));
        CHECK(records[i].sequence == 5 + i);
    }
}

TEST_CASE("a trace that is begun again forgets, and one of no records is off") {
    TraceRing trace;
    trace.keep(2);
    trace.add(record(1));
    trace.keep(2);
    CHECK(trace.records().empty());
    trace.add(record(2));
    CHECK(trace.records().at(0).sequence == 0);
    trace.keep(0);
    CHECK_FALSE(trace.on());
    CHECK(trace.records().empty());
}

TEST_CASE("a record keeps why a call was refused") {
    TraceRing trace;
    trace.keep(1);
    TraceRecord refused = record(0);
    refused.refusal = refuse(EPERM, "group {}", Source{"here"}, 26).error();
    trace.add(refused);
    CHECK(trace.records().at(0).refusal->text() == "EPERM: group 26 (here)");
}

TEST_CASE("threads number their records one after the other") {
    TraceRing trace;
    trace.keep(64);
    const auto work = [&trace] {
        for (int i = 0; i < 200; ++i) {
            trace.add(record(i));
        }
    };
    std::thread other(work);
    work();
    other.join();
    const auto records = trace.records();
    REQUIRE(records.size() == 64);
    for (std::size_t i = 0; i < records.size(); ++i) {
        CHECK(records[i].sequence == 400 - 64 + i);
    }
}

}  // namespace
}  // namespace kvmiommu
