// SPDX-License-Identifier: MIT
//
// The bits of page-table entries, as numbers worked out by hand from the specifications.

#include <string>
#include <vector>

#include "iommu/pgtable/amdv1.h"
#include "iommu/pgtable/armv7s.h"
#include "iommu/pgtable/armv8.h"
#include "iommu/pgtable/radix.h"
#include "iommu/pgtable/riscv64.h"
#include "iommu/pgtable/tce.h"
#include "iommu/pgtable/vtdss.h"
#include "iommu/pgtable/x86_64.h"
#include "support.h"

namespace kvmiommu::iommu::pgtable {
namespace {

constexpr std::uint64_t kPage = std::uint64_t{1} << 12;
constexpr std::uint64_t size(unsigned bits) {
    return std::uint64_t{1} << bits;
}
constexpr std::uint32_t kBoth = kRead | kWrite;

template <class F>
void check_steps(std::initializer_list<unsigned> shifts) {
    for (const unsigned shift : shifts) {
        CAPTURE(shift);
        for (const std::uint64_t page : {std::uint64_t{0}, size(shift) * 3, size(shift) * 127}) {
            const auto leaf = F::make_leaf(page, size(shift), kBoth, {});
            const auto next = F::make_leaf(page + size(shift), size(shift), kBoth, {});
            CHECK(static_cast<typename F::Entry>(leaf + F::leaf_step(size(shift))) == next);
        }
    }
}

TEST_CASE("a leaf grows by its step from page to page") {
    check_steps<AmdV1>({12, 13, 16, 20, 21, 30, 39});
    check_steps<MockV1>({11, 12, 21});
    check_steps<X86_64>({12, 21, 30});
    check_steps<VtdSecondLevel>({12, 21, 30});
    check_steps<ArmV8Stage1>({12, 21, 30});
    check_steps<ArmV8Stage1Of<14>>({14, 25});
    check_steps<ArmV8Stage2Of<16>>({16, 29});
    check_steps<RiscV64>({12, 21, 30});
    check_steps<RiscV64Svnapot>({12, 16, 21});
    check_steps<Tce>({12, 16, 21, 24, 30});
    check_steps<ArmV7s>({12, 16, 20, 24});
}

// 48882, section 2.2.3: PR 0, NextLevel 11:9, address 51:12, FC 60, IR 61, IW 62.
TEST_CASE("AMD version 1: pages of the size that is natural at their level") {
    CHECK(AmdV1::make_leaf(0x123456000, kPage, kBoth, {}) == 0x7000000123456001);
    CHECK(AmdV1::make_leaf(0x123456000, kPage, kRead, {}) == 0x3000000123456001);
    CHECK(AmdV1::make_leaf(0x123456000, kPage, kWrite, {}) == 0x5000000123456001);
    CHECK(AmdV1::make_leaf(0x123400000, size(21), kBoth, {}) == 0x7000000123400001);
    CHECK(AmdV1::make_leaf(0x1c0000000, size(30), kBoth, {}) == 0x70000001c0000001);
    CHECK(AmdV1::make_leaf(0xffffffffff000, kPage, kBoth, {}) == 0x700ffffffffff001);
}

// Table "Example Page Size Encodings": the lowest clear address bit is that of half the page.
TEST_CASE("AMD version 1: pages of other sizes say 7 and code their size in the address") {
    CHECK(AmdV1::make_leaf(0x100002000, size(13), kBoth, {}) == 0x7000000100002e01);  // 8 KiB
    CHECK(AmdV1::make_leaf(0x100004000, size(14), kBoth, {}) == 0x7000000100005e01);  // 16 KiB
    CHECK(AmdV1::make_leaf(0x100010000, size(16), kRead, {}) == 0x3000000100017e01);  // 64 KiB
    CHECK(AmdV1::make_leaf(0x100100000, size(20), kBoth, {}) == 0x700000010017fe01);  // 1 MiB
    CHECK(AmdV1::make_leaf(0x100400000, size(22), kBoth, {}) == 0x70000001005ffe01);  // 4 MiB
    CHECK(AmdV1::make_leaf(0x100000000, size(32), kBoth, {}) == 0x700000017ffffe01);  // 4 GiB
    CHECK(AmdV1::make_leaf(0x8000000000000, size(51), kBoth, {}) == 0x700bfffffffffe01);
}

TEST_CASE("AMD version 1: a table is named with its own level, counted from 1") {
    CHECK(AmdV1::make_table(0x100005000, 0) == 0x6000000100005201);
    CHECK(AmdV1::make_table(0x100005000, 1) == 0x6000000100005401);
    CHECK(AmdV1::make_table(0x100005000, 4) == 0x6000000100005a01);
}

TEST_CASE("AMD version 1: what was made is read back, for every size") {
    for (unsigned bits = 12; bits <= 51; ++bits) {
        CAPTURE(bits);
        const unsigned level = (bits - 12) / 9;
        const mm::PhysAddr page = bits == 51 ? size(51) : size(51) | size(bits);
        const std::uint64_t entry = AmdV1::make_leaf(page, size(bits), kBoth, {});
        CHECK(AmdV1::present(entry));
        CHECK((level == 0 || !AmdV1::names_table(entry, level)));
        CHECK(AmdV1::leaf_size(entry, level) == size(bits));
        CHECK(align_down(AmdV1::address(entry, level), size(bits)) == page);
    }
    for (unsigned level = 0; level < 5; ++level) {
        const std::uint64_t entry = AmdV1::make_table(0x100005000, level);
        CHECK(AmdV1::present(entry));
        CHECK(AmdV1::names_table(entry, level + 1));
        CHECK(AmdV1::address(entry, level + 1) == 0x100005000);
    }
    CHECK_FALSE(AmdV1::present(0));
}

// VT-d 4.1, section 9.8: R 0, W 1, PS 7, SNP 11, address 51:12.
TEST_CASE("VT-d second level: pages and tables") {
    using Vtd = VtdSecondLevel;
    CHECK(Vtd::make_leaf(0x123456000, kPage, kBoth, {}) == 0x123456003);
    CHECK(Vtd::make_leaf(0x123456000, kPage, kRead, {}) == 0x123456001);
    CHECK(Vtd::make_leaf(0x123456000, kPage, kWrite, {}) == 0x123456002);
    CHECK(Vtd::make_leaf(0x123456000, kPage, kBoth, {.snoop = true}) == 0x123456803);
    CHECK(Vtd::make_leaf(0x123400000, size(21), kBoth, {}) == 0x123400083);
    CHECK(Vtd::make_leaf(0x140000000, size(30), kRead, {.snoop = true}) == 0x140000881);
    CHECK(Vtd::make_table(0x100005000, 2) == 0x100005003);
    CHECK_FALSE(Vtd::present(0));
    CHECK_FALSE(Vtd::names_table(0x123400083, 1));
    CHECK(Vtd::names_table(0x100005003, 1));
}

// 48882, the same layout; the address counts pages of 2 KiB.
TEST_CASE("iommufd's mock: pages start at 2 KiB") {
    CHECK(MockV1::make_leaf(0x123456800, size(11), kBoth, {}) == 0x70000002468ad001);
    CHECK(MockV1::make_leaf(0x123457000, size(12), kBoth, {}) == 0x70000002468aee01);
    CHECK(MockV1::leaf_size(0x70000002468aee01, 0) == size(12));
    CHECK(MockV1::address(MockV1::make_table(0x100005000, 0), 1) == 0x100005000);
}

// Privileged Architecture, chapter "Svnapot": N is bit 63, the frame number ends in 1000.
TEST_CASE("RISC-V with Svnapot: 64 KiB") {
    using Napot = RiscV64Svnapot;
    CHECK(Napot::make_leaf(0x123450000, size(16), kRead, {}) == 0x8000000048d16053);
    CHECK(Napot::leaf_size(0x8000000048d16053, 0) == size(16));
    CHECK(Napot::make_leaf(0x123450000, kPage, kRead, {}) ==
          RiscV64::make_leaf(0x123450000, kPage, kRead, {}));
}

// DDI 0487, section D8.3: with 64 KiB, address bits 51:48 are in bits 15:12.
TEST_CASE("Arm granules of 16 and 64 KiB") {
    using Arm16 = ArmV8Stage2Of<14>;
    using Arm64 = ArmV8Stage2Of<16>;
    CHECK(Arm16::make_leaf(0x123454000, size(14), kRead, {}) == 0x123454657);
    CHECK(Arm16::make_leaf(0x122000000, size(25), kRead, {}) == 0x122000655);
    CHECK(Arm64::make_leaf(0xf123456780000, size(16), kRead, {}) == 0x12345678f657);
    CHECK(Arm64::address(0x12345678f657, 0) == 0xf123456780000);
    CHECK(Arm64::make_leaf(0x1000020000000, size(29), kWrite, {}) == 0x20001695);
    CHECK(Arm64::address(Arm64::make_table(0xa000000010000, 0), 1) == 0xa000000010000);
}

// DDI 0406C, section B3.5.1.
TEST_CASE("Arm short descriptors: small and large pages, sections, supersections, tables") {
    CHECK(ArmV7s::make_leaf(0x12345000, kPage, kBoth | kCache, {}) == 0x12345c7e);
    CHECK(ArmV7s::make_leaf(0x12345000, kPage, kRead, {}) == 0x12345e72);
    CHECK(ArmV7s::make_leaf(0x12340000, size(16), kBoth | kCache, {}) == 0x12341c3d);
    CHECK(ArmV7s::make_leaf(0x12300000, size(20), kBoth | kCache, {}) == 0x12331c0e);
    CHECK(ArmV7s::make_leaf(0x12300000, size(20), kRead, {}) == 0x12339c02);
    CHECK(ArmV7s::make_leaf(0x12000000, size(24), kBoth, {}) == 0x12071c02);
    CHECK(ArmV7s::make_table(0x40001400, 0) == 0x40001401);
    CHECK(ArmV7s::address(0x40001401, 1) == 0x40001400);
    CHECK(ArmV7s::leaf_size(0x12071c02, 1) == size(24));
    CHECK(ArmV7s::leaf_size(0x12341c3d, 0) == size(16));
    CHECK(ArmV7s::protection(0x12345e72, 0) == kRead);
    CHECK(ArmV7s::protection(0x12331c0e, 1) == kBoth);
}

TEST_CASE("TCEs: the address and two rights, in the other byte order") {
    CHECK(Tce::make_leaf(0x123456000, kPage, kBoth, {}) == 0x123456003);
    CHECK(Tce::make_leaf(0x123456000, kPage, kRead, {}) == 0x123456001);
    CHECK(Tce::make_leaf(0x123456000, kPage, kWrite, {}) == 0x123456002);
    test::Machine machine;
    FaultPoints faults;
    const Shape<Tce> shape{1, 1, 0, {}, {.page_shift = 16, .bits = 9}};
    auto table = test::value(RadixTable<Tce>::create(machine.memory(), shape, faults));
    CHECK_FALSE(table.map_pages(0x30000, 0x123450000, 0x10000, 1, kBoth, {}, faults).refusal);
    const auto* bytes = reinterpret_cast<const unsigned char*>(
        machine.memory().at(table.top().root) + 3 * sizeof(std::uint64_t));
    CHECK(std::vector<unsigned>(bytes, bytes + 8) ==
          std::vector<unsigned>{0, 0, 0, 1, 0x23, 0x45, 0, 3});
    CHECK_FALSE(table.map_pages(0x100000, 0x200000000, 0x10000, 100, kRead, {}, faults).refusal);
    CHECK(table.iova_to_phys(0x100000 + 99 * 0x10000 + 5) == 0x200000000 + 99 * 0x10000 + 5);
}

// What an entry cannot lead to, a map refuses.
template <Format F>
std::string far_map(const Shape<F>& shape, mm::PhysAddr address, std::uint64_t page_size,
                    std::uint64_t count) {
    test::Machine machine;
    FaultPoints faults;
    auto table = test::value(RadixTable<F>::create(machine.memory(), shape, faults));
    const Mapped mapped = table.map_pages(0, address, page_size, count, kBoth, {}, faults);
    CHECK(table.iova_to_phys(0) == (mapped.refusal ? 0 : address));
    if (!mapped.refusal) {
        const std::uint64_t last = page_size * count - 1;
        CHECK(table.iova_to_phys(last) == address + last);
    }
    return mapped.refusal ? errno_name(mapped.refusal->error()) : "ok";
}

TEST_CASE("addresses beyond what an entry has bits for: ERANGE") {
    CHECK(far_map<AmdV1>({3, 6}, size(52) - kPage, kPage, 1) == "ok");
    CHECK(far_map<AmdV1>({3, 6}, size(52) - kPage, kPage, 2) == "ERANGE");
    CHECK(far_map<VtdSecondLevel>({4}, size(52), kPage, 1) == "ERANGE");
    CHECK(far_map<X86_64>({4}, 0 - kPage, kPage, 2) == "ERANGE");
    CHECK(far_map<RiscV64>({4}, size(56) - kPage, kPage, 1) == "ok");
    CHECK(far_map<RiscV64>({4}, size(56), kPage, 1) == "ERANGE");
    CHECK(far_map<ArmV8Stage1>({4}, size(48), kPage, 1) == "ERANGE");
    CHECK(far_map<Tce>({2, 2, 0, {}, {}}, size(52), kPage, 1) == "ERANGE");
    // Across the border where the entries' address bits go on elsewhere.
    CHECK(far_map<ArmV8Stage1Of<16>>({3}, size(48) - 2 * size(16), size(16), 300) == "ok");
    CHECK(far_map<ArmV8Stage1Of<16>>({3}, size(52) - size(16), size(16), 1) == "ok");
    CHECK(far_map<ArmV8Stage1Of<16>>({3}, size(52), size(16), 1) == "ERANGE");
}

TEST_CASE("short descriptors cannot name tables above 4 GiB") {
    test::Machine machine;
    FaultPoints faults;
    CHECK(test::outcome(RadixTable<ArmV7s>::create(machine.memory(), {2}, faults)) == "ENOMEM");
}

}  // namespace
}  // namespace kvmiommu::iommu::pgtable
