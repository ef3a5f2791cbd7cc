// SPDX-License-Identifier: MIT
//
// The bits of page-table entries, as numbers worked out by hand from the specifications.

#include "iommu/pgtable/amdv1.h"
#include "iommu/pgtable/vtdss.h"
#include "support.h"

namespace kvmiommu::iommu::pgtable {
namespace {

constexpr std::uint64_t kPage = std::uint64_t{1} << 12;
constexpr std::uint64_t size(unsigned bits) {
    return std::uint64_t{1} << bits;
}
constexpr std::uint32_t kBoth = kRead | kWrite;

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

}  // namespace
}  // namespace kvmiommu::iommu::pgtable
