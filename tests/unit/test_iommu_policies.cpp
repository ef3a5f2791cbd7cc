// SPDX-License-Identifier: MIT
//
// Where drivers differ though their tables do not: a page that an unmap begins or ends in, and a
// map over a mapping.

#include "iommu/pgtable/amdv1.h"
#include "iommu/pgtable/armv7s.h"
#include "iommu/pgtable/armv8.h"
#include "iommu/pgtable/vtdss.h"
#include "radix_twin.h"
#include "support.h"

namespace kvmiommu::iommu::pgtable {
namespace {

using namespace twin;

// A table with 2 MiB at 2 MiB and at 4 MiB.
template <Format F>
RadixTable<F> two_blocks(Machine& machine, TablePolicy policy, FaultPoints& faults) {
    RadixTable<F> table =
        value(RadixTable<F>::create(machine.memory(), {4, 4, 0, policy, {}}, faults));
    REQUIRE(refusal_of(table.map_pages(k2M, k1G, k2M, 2, kRead | kCache, {}, faults)) == "ok");
    return table;
}

TEST_CASE("whole from the start: a page goes whole when the unmap begins with it") {
    Machine machine;
    FaultPoints faults;
    auto table = two_blocks<VtdSecondLevel>(
        machine, {.partial_unmap = PartialUnmap::whole_from_start}, faults);
    CHECK(table.unmap_pages(k2M + k4K, k4K, 1, test::no_faults()) == 0);
    CHECK(table.unmap_pages(k2M + k4K, k4K, 511, test::no_faults()) == 0);
    CHECK(table.unmap_pages(k2M, k4K, 1, test::no_faults()) == k2M);
    CHECK(table.iova_to_phys(2 * k2M - 1) == 0);
    CHECK(table.unmap_pages(2 * k2M, k4K, 511, test::no_faults()) == k2M);
    CHECK(table.iova_to_phys(3 * k2M - 1) == 0);
}

TEST_CASE("refuse: an unmap ends before a page that is not in it from end to end") {
    Machine machine;
    FaultPoints faults;
    auto table = two_blocks<ArmV8Stage1>(machine, {.partial_unmap = PartialUnmap::refuse}, faults);
    CHECK(table.unmap_pages(k2M, k4K, 511, test::no_faults()) == 0);
    CHECK(table.unmap_pages(k2M + k4K, k4K, 511, test::no_faults()) == 0);
    CHECK(table.iova_to_phys(k2M) == k1G);
    CHECK(table.unmap_pages(k2M, k4K, 512 + 511, test::no_faults()) == k2M);
    CHECK(table.iova_to_phys(2 * k2M) == k1G + k2M);
    CHECK(table.unmap_pages(2 * k2M, k4K, 512, test::no_faults()) == k2M);
}

TEST_CASE("split: what remains of a page is mapped with smaller ones, with its rights") {
    Machine machine;
    FaultPoints faults;
    auto table = two_blocks<ArmV8Stage2>(machine, {.partial_unmap = PartialUnmap::split}, faults);
    const std::uint64_t before = table.table_bytes();
    CHECK(table.unmap_pages(k2M + k4K, k4K, 3, test::no_faults()) == 3 * k4K);
    CHECK(table.table_bytes() == before + k4K);
    CHECK(table.iova_to_phys(k2M) == k1G);
    CHECK(table.iova_to_phys(k2M + k4K) == 0);
    CHECK(table.iova_to_phys(k2M + 4 * k4K - 1) == 0);
    CHECK(table.iova_to_phys(k2M + 4 * k4K) == k1G + 4 * k4K);
    CHECK(table.iova_to_phys(2 * k2M - 1) == k1G + k2M - 1);
    const auto way = table.walk(k2M);
    REQUIRE(way.size() == 4);
    CHECK(way.back().entry == ArmV8Stage2::make_leaf(k1G, k4K, kRead | kCache, {}));
    CHECK(way.back().protection == kRead);
    // Across the border of two pages: the rest of the first and a part of the second.
    CHECK(table.unmap_pages(2 * k2M - k4K, k4K, 2, test::no_faults()) == 2 * k4K);
    CHECK(table.iova_to_phys(2 * k2M + k4K) == k1G + k2M + k4K);
    // From 1 GiB down to 4 KiB in two steps.
    REQUIRE(refusal_of(table.map_pages(k1G, 4 * k1G, k1G, 1, kBoth, {}, faults)) == "ok");
    CHECK(table.unmap_pages(2 * k1G - k4K, k4K, 1, test::no_faults()) == k4K);
    CHECK(table.iova_to_phys(2 * k1G - k4K - 1) == 5 * k1G - k4K - 1);
    CHECK(table.iova_to_phys(2 * k1G - k4K) == 0);
    CHECK(table.walk(k1G).size() == 3);
    CHECK(table.walk(2 * k1G - 2 * k4K).size() == 4);
}

TEST_CASE("split: sixteen entries of one page become pages of one entry") {
    Machine machine({.start = k1G});
    FaultPoints faults;
    using V7s = RadixTable<ArmV7s>;
    V7s table = value(V7s::create(machine.memory(),
                                  {2, 2, 0, {.partial_unmap = PartialUnmap::split}, {}}, faults));
    REQUIRE(refusal_of(table.map_pages(k64K, k1G, k64K, 1, kRead, {}, faults)) == "ok");
    CHECK(table.unmap_pages(k64K + k4K, k4K, 1, test::no_faults()) == k4K);
    CHECK(table.iova_to_phys(k64K + k4K) == 0);
    CHECK(table.iova_to_phys(2 * k64K - 1) == k1G + k64K - 1);
    CHECK(table.walk(k64K).back().entry == ArmV7s::make_leaf(k1G, k4K, kRead, {}));
    // A supersection to sections, one of them to large pages of 4 KiB.
    REQUIRE(refusal_of(table.map_pages(16 * k1M, 0x50000000, 16 * k1M, 1, kBoth, {}, faults)) ==
            "ok");
    CHECK(table.walk(17 * k1M).back().page_size == 16 * k1M);
    CHECK(table.unmap_pages(17 * k1M, k4K, 1, test::no_faults()) == k4K);
    CHECK(table.walk(16 * k1M).back().page_size == k1M);
    CHECK(table.iova_to_phys(17 * k1M) == 0);
    CHECK(table.iova_to_phys(17 * k1M + k4K) == 0x50000000 + k1M + k4K);
    CHECK(table.iova_to_phys(32 * k1M - 1) == 0x50000000 + 16 * k1M - 1);
}

TEST_CASE("split: without memory for the table the unmap ends") {
    Machine machine({.ram = k64K});  // sixteen frames
    FaultPoints faults;
    auto table = two_blocks<ArmV8Stage1>(machine, {.partial_unmap = PartialUnmap::split}, faults);
    std::vector<PhysAddr> taken;
    while (const auto frame = machine.memory().allocate_frames(0)) {
        taken.push_back(*frame);
    }
    CHECK(table.unmap_pages(k2M, k4K, 1, test::no_faults()) == 0);
    CHECK(table.iova_to_phys(k2M) == k1G);
    CHECK(table.unmap_pages(k2M, k2M, 1, test::no_faults()) == k2M);
    for (const PhysAddr frame : taken) {
        machine.memory().free_frames(frame, 0);
    }
}

TEST_CASE("a map over a mapping is answered as the policy says") {
    Machine machine;
    FaultPoints faults;
    for (const int overlap : {EEXIST, EADDRINUSE}) {
        auto table = two_blocks<AmdV1>(machine, {.overlap = overlap}, faults);
        for (const std::uint64_t size : {k4K, k2M, 2 * k2M, k1G}) {
            const std::uint64_t iova = align_down(k2M, size);
            CAPTURE(size);
            CHECK(refusal_of(table.map_pages(iova, 0, size, 1, kBoth, {}, faults)) ==
                  errno_name(overlap));
            CHECK(table.iova_to_phys(k2M) == k1G);
        }
    }
}

}  // namespace
}  // namespace kvmiommu::iommu::pgtable
