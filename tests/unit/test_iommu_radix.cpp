// SPDX-License-Identifier: MIT
//
// The walker with each format: beside a list of pages that is too simple to be wrong, and where
// its rules are finer than such a list can tell.

#include <algorithm>
#include <atomic>
#include <bit>
#include <cstring>
#include <thread>
#include <vector>

#include "iommu/pgtable/amdv1.h"
#include "iommu/pgtable/armv7s.h"
#include "iommu/pgtable/armv8.h"
#include "iommu/pgtable/riscv64.h"
#include "iommu/pgtable/tce.h"
#include "iommu/pgtable/vtdss.h"
#include "iommu/pgtable/x86_64.h"
#include "radix_twin.h"
#include "support.h"
#include "walker/amd_v1.h"
#include "walker/arm.h"
#include "walker/intel.h"
#include "walker/power.h"
#include "walker/riscv.h"

namespace kvmiommu::iommu::pgtable {
namespace {

using namespace twin;
using test::outcome;

using Amd = RadixTable<AmdV1>;
using Vtd = RadixTable<VtdSecondLevel>;

// --- how hardware reads them ---

const Hardware kVtd{walker::vtd_second_stage};
const Hardware kX86{walker::x86_64, true};
const Hardware kRiscV{[](unsigned levels) { return walker::riscv(levels, false); }, true};
const Hardware kSvnapot{[](unsigned levels) { return walker::riscv(levels, true); }, true};
const Hardware kAmd{[](unsigned levels) { return walker::amd_v1(levels); }};
const Hardware kMock{[](unsigned levels) { return walker::amd_v1(levels, 11); }};
const Hardware kV7s{[](unsigned) { return walker::arm_v7s(); }, true};

Hardware arm(unsigned stage, unsigned granule, unsigned roots = 1) {
    return {[=](unsigned levels) { return walker::arm_v8(stage, granule, levels, roots); },
            stage == 1};
}
Hardware tce(const Tce::Geometry& geometry) {
    return {
        [=](unsigned levels) { return walker::tce(levels, geometry.bits, geometry.page_shift); }};
}

const std::vector<std::uint64_t> kBases{0, k512G - 4 * k2M, 512 * k512G - 8 * k2M};

TEST_CASE("a table and a list of pages agree on random calls: VT-d, x86-64, RISC-V") {
    agree_on_random_calls<VtdSecondLevel>(kVtd, {4}, kBases, {k4K, k2M}, 1);
    agree_on_random_calls<X86_64>(kX86, {4}, kBases, {k4K, k2M}, 3);
    agree_on_random_calls<RiscV64>(kRiscV, {4}, kBases, {k4K, k2M}, 4);
    agree_on_random_calls<RiscV64Svnapot>(kSvnapot, {4}, kBases, {k4K, k64K, k2M}, 8);
}

TEST_CASE("a table and a list of pages agree on random calls: AMD") {
    agree_on_random_calls<AmdV1>(
        kAmd, {3, 6}, {0, k512G - 4 * k2M, 0 - 8 * k2M},
        {k4K, 2 * k4K, 4 * k4K, k64K, 4 * k64K, 16 * k64K, k2M, 2 * k2M, 4 * k2M}, 2);
    agree_on_random_calls<MockV1>(kMock, {3, 5}, {0, k512G / 2 - 4 * k2M},
                                  {k4K / 2, k4K, 4 * k4K, k64K, k2M / 2, k2M, 2 * k2M}, 9);
}

TEST_CASE("a table and a list of pages agree on random calls: Arm") {
    agree_on_random_calls<ArmV8Stage1>(arm(1, 12), {4}, kBases, {k4K, k2M}, 5);
    agree_on_random_calls<ArmV8Stage2>(arm(2, 12), {4}, kBases, {k4K, k2M}, 6);
    // Tables of four and of sixteen frames, and what a border of 48 bits splits.
    agree_on_random_calls<ArmV8Stage1Of<14>>(arm(1, 14), {4, 4, 48}, {0, (k512G << 8) - 8 * k32M},
                                             {k16K, k32M}, 10);
    agree_on_random_calls<ArmV8Stage2Of<16>>(arm(2, 16), {3, 3, 48}, {0, (k512G << 9) - 8 * k32M},
                                             {k64K}, 11);
    // The window is the last of the address space.
    agree_on_random_calls<ArmV8Upper>(arm(1, 12), {4, 4, 48}, {0 - (k512G << 9), 0 - 8 * k2M},
                                      {k4K, k2M}, 12);
}

TEST_CASE("a table and a list of pages agree on random calls: Arm's short descriptors") {
    const test::MachineSettings low{.start = k1G};
    agree_on_random_calls<ArmV7s>(kV7s, {2}, {0, 4 * k1G - 8 * k2M}, {k4K, k64K, k1M, 16 * k1M}, 13,
                                  low);
}

TEST_CASE("a table and a list of pages agree on random calls: TCEs of one to five levels") {
    for (unsigned levels = 1; levels <= 5; ++levels) {
        CAPTURE(levels);
        const Tce::Geometry geometry{.page_shift = 12, .bits = levels == 1 ? 14u : 9u};
        const Shape<Tce> shape{levels, levels, 0, {}, geometry};
        const std::uint64_t end = k4K << levels * geometry.bits;
        agree_on_random_calls<Tce>(tce(geometry), shape, {0, end - 4096 * k4K}, {k4K}, 14);
    }
    for (const unsigned page_shift : {16u, 21u, 24u, 30u}) {
        CAPTURE(page_shift);
        const Tce::Geometry geometry{.page_shift = page_shift, .bits = 9};
        const Shape<Tce> shape{2, 2, 0, {}, geometry};
        agree_on_random_calls<Tce>(tce(geometry), shape, {0}, {std::uint64_t{1} << page_shift}, 15);
    }
}

TEST_CASE("tables next to each other at the top are one table of more bits") {
    // 40 bits: two tables of 512 GiB. The window lies across the border between them.
    for (const std::uint64_t base : {std::uint64_t{0}, k512G - 4 * k2M, 2 * k512G - 8 * k2M}) {
        CAPTURE(base);
        Machine machine;
        Pair<ArmV8Stage2> pair(machine, {3, 3, 40}, base, {k4K, k2M}, base + 7, arm(2, 12, 2));
        for (int step = 0; step < 200; ++step) {
            pair.step();
        }
        pair.unmap_all();
    }
    Machine machine;
    FaultPoints faults;
    {
        using Arm = RadixTable<ArmV8Stage2>;
        Arm table = value(Arm::create(machine.memory(), {3, 3, 40}, faults));
        CHECK(table.table_bytes() == 2 * k4K);
        CHECK(table.top().root % (2 * k4K) == 0);
        CHECK(refusal_of(table.map_pages(k512G - k1G, k512G, k1G, 2, kBoth, {}, faults)) == "ok");
        CHECK(table.iova_to_phys(k512G - 1) == k512G + k1G - 1);
        CHECK(table.iova_to_phys(k512G) == k512G + k1G);
        CHECK(refusal_of(table.map_pages(2 * k512G, k1G, k1G, 1, kBoth, {}, faults)) == "ERANGE");
        CHECK(table.iova_to_phys(2 * k512G) == 0);
        CHECK(table.unmap_pages(k512G - k1G, k1G, 2, test::no_faults()) == 2 * k1G);
        CHECK(refusal_of(table.map_pages(k512G - k4K, k1G, k4K, 2, kBoth, {}, faults)) == "ok");
        CHECK(table.table_bytes() == 6 * k4K);
    }
    CHECK(machine.memory().used_frames() == 0);
}

// --- entries as the hardware finds them ---

TEST_CASE("leaves and tables have the bits that the specifications give them") {
    CHECK(X86_64::make_leaf(0x1'2345'6000, k4K, kRead, {}) == 0x1'2345'6025);
    CHECK(X86_64::make_leaf(0x1'2340'0000, k2M, kBoth, {}) == 0x1'2340'00e7);
    CHECK(X86_64::make_table(0x1'2345'6000, 0) == 0x1'2345'6027);
    CHECK(RiscV64::make_leaf(0x1'2345'6000, k4K, kRead, {}) == 0x48d1'5853);
    CHECK(RiscV64::make_leaf(0x1'2340'0000, k2M, kWrite, {}) == 0x48d0'00d7);
    CHECK(RiscV64::make_table(0x1'2345'6000, 0) == 0x48d1'5801);
    CHECK(ArmV8Stage1::make_leaf(0x1'2345'6000, k4K, kRead | kCache, {}) == 0x1'2345'6fc7);
    CHECK(ArmV8Stage1::make_leaf(0x1'2340'0000, k2M, kBoth, {}) == 0x1'2340'0e41);
    CHECK(ArmV8Stage1::make_leaf(0x1'2340'0000, k2M, kBoth, {.hardware_dirty = true}) ==
          0x8'0001'2340'0e41);
    CHECK(ArmV8Stage2::make_leaf(0x1'2345'6000, k4K, kRead | kCache, {}) == 0x1'2345'677f);
    CHECK(ArmV8Stage2::make_leaf(0x1'2340'0000, k2M, kWrite, {}) == 0x1'2340'0695);
    CHECK(ArmV8Stage1::make_table(0x1'2345'6000, 0) == 0x1'2345'6003);
}

TEST_CASE("a table among blocks is no row of leaves") {
    const std::uint64_t block = ArmV8Stage1::make_leaf(0x1'2340'0000, k2M, kBoth, {});
    const std::uint64_t table = ArmV8Stage1::make_table(0x1'2345'6000, 0);
    CHECK(ArmV8Stage1::plain_leaf(block, 1));
    CHECK_FALSE(ArmV8Stage1::plain_leaf(table, 1));
    CHECK(((block ^ table) & ArmV8Stage1::kind_bits(block, 1)) != 0);
    const std::uint64_t page = AmdV1::make_leaf(0x1'2340'0000, k2M, kBoth, {});
    CHECK(AmdV1::plain_leaf(page, 1));
    const std::uint64_t below = AmdV1::make_table(0x1'2345'6000, 0);
    CHECK_FALSE(AmdV1::plain_leaf(below, 1));
    CHECK(((page ^ below) & AmdV1::kind_bits(page, 1)) != 0);
}

template <Format F>
std::vector<std::uint64_t> entries_to(Machine& machine, const RadixTable<F>& table,
                                      std::uint64_t iova, unsigned level) {
    std::vector<std::uint64_t> entries;
    PhysAddr at = table.top().root;
    for (unsigned of = table.top().levels - 1;; --of) {
        const std::uint64_t index = iova >> (12 + 9 * of) & 511;
        entries.push_back(reinterpret_cast<const std::uint64_t*>(machine.memory().at(at))[index]);
        if (of == level) {
            return entries;
        }
        at = F::address(entries.back(), of);
    }
}

TEST_CASE("a page of 64 KiB is the same entry sixteen times") {
    Machine machine;
    FaultPoints faults;
    Amd table = value(Amd::create(machine.memory(), {3, 6}, faults));
    REQUIRE(refusal_of(table.map_pages(k64K, 0x100010000, k64K, 2, kRead, {}, faults)) == "ok");
    CHECK(entries_to(machine, table, 0, 0).back() == 0);
    for (std::uint64_t each = 0; each < 16; ++each) {
        CHECK(entries_to(machine, table, k64K + each * k4K, 0).back() == 0x3000000100017e01);
        CHECK(entries_to(machine, table, 2 * k64K + each * k4K, 0).back() == 0x3000000100027e01);
    }
    CHECK(entries_to(machine, table, 3 * k64K, 0).back() == 0);
    const auto way = entries_to(machine, table, k64K, 0);
    CHECK((way[0] & 0xfff0000000000fff) == 0x6000000000000401);
    CHECK((way[1] & 0xfff0000000000fff) == 0x6000000000000201);
    // The third page of 4 KiB stands for all.
    CHECK(table.unmap_pages(k64K + 2 * k4K, k4K, 1, test::no_faults()) == k64K);
    CHECK(table.iova_to_phys(k64K) == 0);
    CHECK(table.iova_to_phys(2 * k64K - 1) == 0);
    CHECK(table.iova_to_phys(2 * k64K) == 0x100020000);
}

TEST_CASE("large pages stand in the table of their level") {
    Machine machine;
    FaultPoints faults;
    Amd amd = value(Amd::create(machine.memory(), {3, 6}, faults));
    CHECK(refusal_of(amd.map_pages(0, k1G, k1G, 1, kBoth, {}, faults)) == "ok");
    CHECK(entries_to(machine, amd, 0, 2) == std::vector<std::uint64_t>{0x7000000040000001});
    CHECK(refusal_of(amd.map_pages(4 * k1G, 8 * k1G, 4 * k1G, 1, kBoth, {}, faults)) == "ok");
    CHECK(entries_to(machine, amd, 7 * k1G, 2) == std::vector<std::uint64_t>{0x700000027ffffe01});
    CHECK(amd.iova_to_phys(7 * k1G + 3) == 11 * k1G + 3);
    CHECK(machine.memory().used_frames() == 1);

    Vtd vtd = value(Vtd::create(machine.memory(), {4, 4}, faults));
    CHECK(refusal_of(vtd.map_pages(0, k1G, k1G, 1, kBoth, {.snoop = true}, faults)) == "ok");
    CHECK(entries_to(machine, vtd, 0, 2).back() == 0x40000883);
    CHECK(vtd.iova_to_phys(k1G - 1) == 2 * k1G - 1);
}

// --- trees that grow ---

TEST_CASE("a tree grows as far as it is needed and keeps what it maps") {
    Machine machine;
    FaultPoints faults;
    Amd table = value(Amd::create(machine.memory(), {3, 6}, faults));
    const auto map = [&](std::uint64_t iova, std::uint64_t size, std::uint64_t count) {
        return refusal_of(table.map_pages(iova, 8 * k512G, size, count, kBoth, {}, faults));
    };
    CHECK(map(0, k4K, 1) == "ok");
    CHECK(map(k512G - k4K, k4K, 1) == "ok");
    CHECK(table.top().levels == 3);
    CHECK(table.iova_to_phys(k512G) == 0);
    CHECK(table.unmap_pages(k512G, k4K, 1, test::no_faults()) == 0);
    CHECK(map(k512G, k4K, 1) == "ok");
    CHECK(table.top().levels == 4);
    CHECK(map(std::uint64_t{1} << 48, k4K, 1) == "ok");
    CHECK(table.top().levels == 5);
    CHECK(map(~std::uint64_t{0xfff}, k4K, 1) == "ok");
    CHECK(table.top().levels == 6);
    // Each former root is the first table below the next one, named with its level.
    const auto way = entries_to(machine, table, 0, 0);
    for (unsigned level = 5; level > 0; --level) {
        CHECK((way[5 - level] & 0xfff0000000000fff) == (0x6000000000000001 | level << 9));
    }
    for (const std::uint64_t iova :
         {std::uint64_t{0}, k512G - k4K, k512G, std::uint64_t{1} << 48, ~std::uint64_t{0xfff}}) {
        CHECK(table.iova_to_phys(iova + 7) == 8 * k512G + 7);
        CHECK(table.unmap_pages(iova, k4K, 1, test::no_faults()) == k4K);
        CHECK(table.iova_to_phys(iova) == 0);
    }
}

TEST_CASE("a page that is as large as the tree makes it grow") {
    Machine machine;
    FaultPoints faults;
    Amd table = value(Amd::create(machine.memory(), {3, 6}, faults));
    CHECK(refusal_of(table.map_pages(0, 2 * k512G, 2 * k512G, 1, kBoth, {}, faults)) == "ok");
    CHECK(table.top().levels == 4);
    CHECK(table.iova_to_phys(2 * k512G - 1) == 4 * k512G - 1);
    // A root that became a table and maps nothing was in its way.
    CHECK(machine.memory().used_frames() == 1);
    // One that fills what four levels reach is one entry of a fifth.
    Amd other = value(Amd::create(machine.memory(), {3, 6}, faults));
    const std::uint64_t size = std::uint64_t{1} << 48;
    CHECK(refusal_of(other.map_pages(0, size, size, 1, kRead, {}, faults)) == "ok");
    CHECK(other.top().levels == 5);
    CHECK(entries_to(machine, other, 0, 4) == std::vector<std::uint64_t>{0x3001000000000001});
    CHECK(other.unmap_pages(k512G, k4K, 1, test::no_faults()) == size);
}

TEST_CASE("beyond the levels that there may be: ERANGE") {
    Machine machine;
    FaultPoints faults;
    Vtd vtd = value(Vtd::create(machine.memory(), {3, 3}, faults));
    CHECK(refusal_of(vtd.map_pages(k512G - k4K, k1G, k4K, 1, kBoth, {}, faults)) == "ok");
    CHECK(refusal_of(vtd.map_pages(k512G, k1G, k4K, 1, kBoth, {}, faults)) == "ERANGE");
    CHECK(refusal_of(vtd.map_pages(k512G - 2 * k4K, k1G, k4K, 3, kBoth, {}, faults)) == "ERANGE");
    CHECK(vtd.iova_to_phys(k512G - 2 * k4K) == 0);
    CHECK(vtd.top().levels == 3);

    Amd amd = value(Amd::create(machine.memory(), {3, 4}, faults));
    const std::uint64_t end = std::uint64_t{1} << 48;
    CHECK(refusal_of(amd.map_pages(end - k4K, k1G, k4K, 1, kBoth, {}, faults)) == "ok");
    CHECK(refusal_of(amd.map_pages(end, k1G, k4K, 1, kBoth, {}, faults)) == "ERANGE");
    Amd all = value(Amd::create(machine.memory(), {3, 6}, faults));
    CHECK(refusal_of(all.map_pages(~std::uint64_t{0xfff}, k1G, k4K, 2, kBoth, {}, faults)) ==
          "ERANGE");
    CHECK(refusal_of(all.map_pages(0, k1G, k4K, 1, kCache, {}, faults)) == "EINVAL");
}

// --- what is in the way ---

TEST_CASE("a larger page takes the place of a table that maps nothing any more") {
    Machine machine;
    FaultPoints faults;
    Amd table = value(Amd::create(machine.memory(), {3, 6}, faults));
    // Halves of what is covered, so that the table stays.
    REQUIRE(refusal_of(table.map_pages(k2M, k1G, k4K, 512, kBoth, {}, faults)) == "ok");
    CHECK(table.unmap_pages(k2M, k4K, 256, test::no_faults()) == k1G / 1024);
    CHECK(refusal_of(table.map_pages(0, k1G, 2 * k2M, 1, kBoth, {}, faults)) == "EEXIST");
    CHECK(table.iova_to_phys(0) == 0);
    CHECK(table.iova_to_phys(2 * k2M - k4K) == k1G + k2M - k4K);
    CHECK(table.unmap_pages(k2M + 256 * k4K, k4K, 256, test::no_faults()) == k1G / 1024);
    CHECK(machine.memory().used_frames() == 3);
    CHECK(refusal_of(table.map_pages(0, k1G, 2 * k2M, 1, kBoth, {}, faults)) == "ok");
    CHECK(machine.memory().used_frames() == 2);
    // Smaller ones within it, and one that it is within.
    CHECK(refusal_of(table.map_pages(k2M, k1G, k4K, 1, kBoth, {}, faults)) == "EEXIST");
    CHECK(refusal_of(table.map_pages(k2M, k1G, k2M, 1, kBoth, {}, faults)) == "EEXIST");
    CHECK(refusal_of(table.map_pages(0, k1G, 4 * k2M, 1, kBoth, {}, faults)) == "EEXIST");
    CHECK(table.iova_to_phys(2 * k2M) == 0);
}

// --- unmapping ---

TEST_CASE("a table that is covered goes as it is, with its holes") {
    Machine machine;
    FaultPoints faults;
    Vtd table = value(Vtd::create(machine.memory(), {4, 4}, faults));
    const auto map = [&](std::uint64_t iova) {
        return refusal_of(table.map_pages(iova, k1G, k4K, 1, kBoth, {}, faults));
    };
    REQUIRE(map(3 * k4K) == "ok");
    REQUIRE(map(k2M + 5 * k4K) == "ok");
    CHECK(machine.memory().used_frames() == 5);
    CHECK(table.unmap_pages(0, k4K, 512, test::no_faults()) == k2M);
    CHECK(machine.memory().used_frames() == 4);
    CHECK(table.unmap_pages(0, k4K, 1024, test::no_faults()) ==
          0);  // a hole, where there was the table
    CHECK(table.unmap_pages(0, k1G, 1, test::no_faults()) == k1G);  // covered one level higher
    CHECK(machine.memory().used_frames() == 2);
    CHECK(table.iova_to_phys(k2M + 5 * k4K) == 0);
}

TEST_CASE("a hole ends an unmap in a table that is not covered") {
    Machine machine;
    FaultPoints faults;
    Vtd table = value(Vtd::create(machine.memory(), {4, 4}, faults));
    REQUIRE(refusal_of(table.map_pages(k4K, k1G, k4K, 2, kBoth, {}, faults)) == "ok");
    REQUIRE(refusal_of(table.map_pages(4 * k4K, k1G, k4K, 1, kBoth, {}, faults)) == "ok");
    CHECK(table.unmap_pages(0, k4K, 8, test::no_faults()) == 0);
    CHECK(table.unmap_pages(k4K, k4K, 8, test::no_faults()) == 2 * k4K);
    CHECK(table.iova_to_phys(4 * k4K) == k1G);
    CHECK(table.unmap_pages(4 * k4K, k4K, 508, test::no_faults()) == k4K);
}

TEST_CASE("a page that the range begins or ends in goes whole and counts whole") {
    Machine machine;
    FaultPoints faults;
    Vtd table = value(Vtd::create(machine.memory(), {4, 4}, faults));
    REQUIRE(refusal_of(table.map_pages(0, k1G, k2M, 3, kBoth, {}, faults)) == "ok");
    CHECK(table.unmap_pages(k2M + k4K, k4K, 1, test::no_faults()) == k2M);
    CHECK(table.iova_to_phys(k2M) == 0);
    CHECK(table.iova_to_phys(k2M - 1) == k1G + k2M - 1);
    CHECK(table.iova_to_phys(2 * k2M) == k1G + 2 * k2M);
    REQUIRE(refusal_of(table.map_pages(k2M, k1G, k4K, 512, kBoth, {}, faults)) == "ok");
    CHECK(table.unmap_pages(2 * k2M - k4K, k4K, 2, test::no_faults()) == k4K + k2M);
    CHECK(table.iova_to_phys(2 * k2M) == 0);
    CHECK(table.iova_to_phys(3 * k2M - 1) == 0);
}

// --- what most calls are: pages and rows whose tables are there ---

// The levels in a tree of so many of them are walked one by one.
template <Format F>
void walk_every_level(Machine& machine, Shape<F> shape) {
    CAPTURE(shape.levels);
    FaultPoints faults;
    RadixTable<F> table = value(RadixTable<F>::create(machine.memory(), shape, faults));
    const std::uint64_t reach = low_mask(std::min(64u, shape.geometry.shift_of(shape.levels)));
    const std::uint64_t page = std::uint64_t{1} << shape.geometry.shift_of(0);
    const std::uint64_t iova = reach - (4 * page - 1);
    CHECK(table.map_row(iova, k1G, page, 3, kBoth, {}) == (shape.levels <= 1));  // no table yet
    if (shape.levels > 1) {
        REQUIRE(refusal_of(table.map_pages(iova, k1G, page, 3, kBoth, {}, faults)) == "ok");
    }
    CHECK(table.iova_to_phys(iova) == k1G);
    CHECK(table.iova_to_phys(iova + 3 * page - 1) == k1G + 3 * page - 1);
    CHECK(table.iova_to_phys(iova + 3 * page) == 0);
    CHECK(table.iova_to_phys(0) == 0);

    CHECK(!table.map_row(iova + 2 * page, k1G, page, 2, kBoth, {}));  // the first is taken
    CHECK(!table.map_row(iova + 3 * page, k1G, page, 2, kBoth, {}));  // beyond the last entry
    CHECK(table.unmap_page(iova + page, page));
    CHECK(table.iova_to_phys(iova + page) == 0);
    CHECK(!table.unmap_page(iova + page, page));
    CHECK(table.map_page(iova + page, 2 * k1G, page, kBoth, {}));
    CHECK(!table.map_page(iova + page, 2 * k1G, page, kBoth, {}));
    CHECK(table.iova_to_phys(iova + page + 5) == 2 * k1G + 5);
    if (reach != ~std::uint64_t{0}) {
        CHECK(!table.map_page(reach + 1, k1G, page, kBoth, {}));
        CHECK(!table.unmap_page(reach + 1, page));
        CHECK(table.iova_to_phys(reach + 1 + iova) == 0);
    }

    // An entry of any table on the way that leads out of RAM, or nowhere, leads nowhere.
    const mm::PhysAddr end = mm::kRamStart + machine.memory().bytes();
    for (const WalkStep& step : table.walk(iova)) {
        CAPTURE(step.level);
        if (step.kind != WalkStep::Kind::table) {
            break;
        }
        const mm::PhysAddr place = step.table + step.index * sizeof(typename F::Entry);
        typename F::Entry held;
        std::memcpy(&held, machine.memory().at(place), sizeof held);
        for (const mm::PhysAddr wrong :
             {mm::PhysAddr{0}, mm::kRamStart - mm::kFrameSize, end, low_mask(47) & ~low_mask(16)}) {
            typename F::Entry entry = F::make_table(wrong, step.level - 1);
            if (F::kByteOrder != std::endian::native) {
                entry = std::byteswap(entry);
            }
            std::memcpy(machine.memory().at(place), &entry, sizeof entry);
            CHECK(table.iova_to_phys(iova) == 0);
            CHECK(!table.translate(iova));
        }
        std::memset(machine.memory().at(place), 0, sizeof held);
        CHECK(table.iova_to_phys(iova) == 0);
        CHECK(!table.map_page(iova, k1G, page, kBoth, {}));
        std::memcpy(machine.memory().at(place), &held, sizeof held);
        CHECK(table.iova_to_phys(iova) == k1G);
    }
}

template <Format F>
void walk_every_count_of_levels(unsigned most) {
    Machine machine;
    for (unsigned levels = 1; levels <= most; ++levels) {
        walk_every_level<F>(machine, {levels, levels});
    }
}

TEST_CASE("a tree of any number of levels is walked to its last page, and no further") {
    walk_every_count_of_levels<VtdSecondLevel>(5);
    walk_every_count_of_levels<X86_64>(5);
    walk_every_count_of_levels<RiscV64Svnapot>(5);
    walk_every_count_of_levels<AmdV1>(6);
    walk_every_count_of_levels<ArmV8Stage1>(4);
    walk_every_count_of_levels<ArmV8Stage2Of<14>>(3);
    walk_every_count_of_levels<ArmV8Stage1Of<16>>(3);
    Machine machine;
    for (unsigned levels = 1; levels <= 5; ++levels) {
        for (const unsigned bits : {9u, 10u}) {
            walk_every_level<Tce>(machine,
                                  {levels, levels, 0, {}, {.bits = bits, .mask = low_mask(bits)}});
        }
    }
}

// --- several at once ---

TEST_CASE("threads with ranges of their own share tables, also while the tree grows") {
    Machine machine;
    FaultPoints faults;
    Amd table = value(Amd::create(machine.memory(), {3, 6}, faults));
    constexpr std::uint64_t kThreads = 4;
    std::atomic<std::uint64_t> wrong = 0;
    const auto work = [&](std::uint64_t self) {
        for (std::uint64_t round = 0; round < 60; ++round) {
            // Neighbours in every table, first in the low one, then above what there is.
            const std::uint64_t high = round < 30 ? 0 : std::uint64_t{1} << (38 + round / 5);
            const std::uint64_t iova = high + (round * kThreads + self) * k64K;
            const std::uint64_t size = round % 2 == 0 ? k64K : k4K;
            const Mapped mapped =
                table.map_pages(iova, k1G + iova, size, k64K / size, kBoth, {}, faults);
            wrong += mapped.bytes != k64K;
            wrong += table.iova_to_phys(iova + 77) != k1G + iova + 77;
            if (round % 3 == 0) {
                wrong += table.unmap_pages(iova, k4K, 16, test::no_faults()) != k64K;
                wrong += table.iova_to_phys(iova) != 0;
            }
        }
    };
    std::vector<std::thread> threads;
    for (std::uint64_t self = 0; self < kThreads; ++self) {
        threads.emplace_back(work, self);
    }
    for (std::thread& thread : threads) {
        thread.join();
    }
    CHECK(wrong == 0);
    CHECK(table.top().levels == 5);
}

// --- memory that cannot be had ---

// Maps two pages with the first, the second ... allocation failing, each time in a tree of its own,
// until none is left to fail: how many there were.
template <Format F>
std::uint32_t fail_at_every_point(Machine& machine, unsigned levels, unsigned most_levels,
                                  std::uint64_t iova, std::uint64_t size) {
    for (std::uint32_t nth = 1;; ++nth) {
        CAPTURE(nth);
        FaultPoints faults;
        RadixTable<F> table =
            value(RadixTable<F>::create(machine.memory(), {levels, most_levels}, faults));
        REQUIRE(refusal_of(table.map_pages(k64K, k1G, k4K, 3, kBoth, {}, faults)) == "ok");
        faults.fail_nth(nth);
        const Mapped mapped = table.map_pages(iova, k1G, size, 2, kBoth, {}, faults);
        for (std::uint64_t page = 0; page < 3; ++page) {
            CHECK(table.iova_to_phys(k64K + page * k4K) == k1G + page * k4K);
        }
        if (!mapped.refusal) {
            CHECK(mapped.bytes == 2 * size);
            return nth - 1;
        }
        CHECK(refusal_of(mapped) == "ENOMEM");
        CHECK(table.iova_to_phys(iova + mapped.bytes) == 0);
        CHECK(table.unmap_pages(iova, size, 1, test::no_faults()) == mapped.bytes);
        CHECK(table.iova_to_phys(iova) == 0);
    }
}

TEST_CASE("an allocation that fails, whichever it is, leaves no mapping behind") {
    Machine machine;
    // Two pages that have nothing but the root in common: three tables and three.
    CHECK(fail_at_every_point<VtdSecondLevel>(machine, 4, 4, 2 * k512G - k4K, k4K) == 6);
    // Three more levels, and then five tables and five.
    const std::uint64_t high = (std::uint64_t{1} << 60) - k64K;
    CHECK(fail_at_every_point<AmdV1>(machine, 3, 6, high, k64K) == 13);
    FaultPoints faults;
    faults.fail_nth(1);
    CHECK(outcome(Amd::create(machine.memory(), {3, 6}, faults)) == "ENOMEM");
}

}  // namespace
}  // namespace kvmiommu::iommu::pgtable
