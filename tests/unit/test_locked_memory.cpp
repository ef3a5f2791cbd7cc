// SPDX-License-Identifier: MIT

#include "mm/locked_memory.h"

#include "support.h"

namespace kvmiommu::mm {
namespace {

using test::outcome;

constexpr std::uint64_t kUnlimited = ~std::uint64_t{0} >> 12;

TEST_CASE("pages are charged up to the limit and given back") {
    LockedMemory locked;
    CHECK(outcome(locked.charge(16, 16, false)) == "ok");
    CHECK(outcome(locked.charge(1, 16, false)) == "ENOMEM");
    CHECK(locked.pages() == 16);
    locked.uncharge(10);
    CHECK(locked.pages() == 6);
    CHECK(outcome(locked.charge(10, 16, false)) == "ok");
}

TEST_CASE("a charge that is refused charges nothing and says by how much it was too much") {
    LockedMemory locked;
    CHECK(outcome(locked.charge(3, 8, false)) == "ok");
    const auto refused = locked.charge(6, 8, false);
    REQUIRE_FALSE(refused.has_value());
    CHECK(refused.error().text() ==
          "ENOMEM: 3 pages locked and 6 more would pass the limit of 8 pages "
          "(mm/util.c: __account_locked_vm)");
    CHECK(locked.pages() == 3);
}

TEST_CASE("who is exempt passes every limit, and is counted") {
    LockedMemory locked;
    CHECK(outcome(locked.charge(100, 0, true)) == "ok");
    CHECK(locked.pages() == 100);
    CHECK(outcome(locked.charge(1, 100, false)) == "ENOMEM");
}

TEST_CASE("no pages are charged under any limit that holds") {
    LockedMemory locked;
    CHECK(outcome(locked.charge(0, 0, false)) == "ok");
    CHECK(outcome(locked.charge(2, 1, true)) == "ok");
    CHECK(outcome(locked.charge(0, 1, false)) == "ENOMEM");  // it is passed already
}

TEST_CASE("a charge that wraps is refused") {
    LockedMemory locked;
    CHECK(outcome(locked.charge(2, kUnlimited, false)) == "ok");
    CHECK(outcome(locked.charge(~std::uint64_t{0}, ~std::uint64_t{0}, false)) == "ENOMEM");
    CHECK(locked.pages() == 2);
}

}  // namespace
}  // namespace kvmiommu::mm
