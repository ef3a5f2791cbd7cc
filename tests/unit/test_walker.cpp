// SPDX-License-Identifier: MIT
//
// The walker that judges the tables, on entries typed from the specifications: what it finds, and
// what it does not let pass.

#include <cstdint>
#include <initializer_list>
#include <map>
#include <utility>
#include <vector>

#include "support.h"
#include "walker/amd_v1.h"
#include "walker/arm.h"
#include "walker/intel.h"
#include "walker/power.h"
#include "walker/riscv.h"

namespace {

using walker::Format;
using walker::Malformed;
using walker::Page;
using walker::Tree;

// Memory that holds 0 but for some words.
Tree read(const Format& format, std::uint64_t root,
          std::initializer_list<std::pair<std::uint64_t, std::uint64_t>> words) {
    const std::map<std::uint64_t, std::uint64_t> held(words.begin(), words.end());
    return walker::Reader(format,
                          [&](std::uint64_t address, std::size_t bytes) {
                              std::vector<std::uint8_t> found(bytes);
                              for (const auto& [at, word] : held) {
                                  for (unsigned byte = 0; byte < format.entry_bytes; ++byte) {
                                      const unsigned place =
                                          format.big_endian ? format.entry_bytes - 1 - byte : byte;
                                      if (at - address < bytes) {
                                          found[at - address + place] =
                                              static_cast<std::uint8_t>(word >> 8 * byte);
                                      }
                                  }
                              }
                              return found;
                          })
        .read(root);
}

// One entry in the only table of a tree.
Page only(const Format& format, std::uint64_t entry) {
    const Tree tree = read(format, 0x1000, {{0x1000, entry}});
    REQUIRE(tree.pages.size() == 1);
    return tree.pages.begin()->second;
}
bool refused(const Format& format, std::uint64_t entry) {
    try {
        read(format, 0x1000, {{0x1000, entry}});
    } catch (const Malformed&) {
        return true;
    }
    return false;
}

TEST_CASE("the walker reads VT-d tables") {
    const Tree tree =
        read(walker::vtd_second_stage(3), 0x1000,
             {{0x1008, 0x2003}, {0x2ff8, 0x3003}, {0x3000, 0x123456001}, {0x2000, 0x40000283}});
    CHECK(tree.tables == std::set<std::uint64_t>{0x1000, 0x2000, 0x3000});
    CHECK(tree.pages.size() == 2);
    CHECK(tree.pages.at(0x7fe00000) == Page{0x123456000, 4096, true, false, false});
    CHECK(tree.pages.at(0x40000000) == Page{0x40000000, 2 << 20, true, true, true});
    const Format last = walker::vtd_second_stage(1);
    CHECK(refused(last, 0x1083));                         // a large page at the last level
    CHECK(refused(last, 0x1000));                         // an address without rights
    CHECK(refused(last, 1ull << 52 | 0x1003));            // reserved
    CHECK(refused(walker::vtd_second_stage(2), 0x1083));  // 2 MiB that are not aligned
}

TEST_CASE("the walker reads AMD tables") {
    const Format two = walker::amd_v1(2);
    CHECK(only(walker::amd_v1(1), 0x7000000123456041) == Page{0x123456000, 4096, true, true, true});
    const Tree tree = read(walker::amd_v1(1), 0x1000,
                           {{0x1000, 0x3000000100000e01}, {0x1008, 0x3000000100000e41}});
    CHECK(tree.pages.size() == 1);
    CHECK(tree.pages.at(0) == Page{0x100000000, 8192, true, false, true});
    CHECK(refused(walker::amd_v1(1), 0x1000));
    CHECK(refused(two, 0x6000000000003401));  // names a table of its own level
    CHECK(refused(two, 0x2000000000003201));  // a table that is not writeable
    CHECK(refused(two, 0x7000000100007e01));  // 64 KiB where pages have 2 MiB
    // Two entries of one page, of which the second has another right.
    CHECK_THROWS_AS(read(walker::amd_v1(1), 0x1000,
                         {{0x1000, 0x3000000100000e01}, {0x1008, 0x7000000100000e01}}),
                    Malformed);
    // The second entry alone.
    CHECK_THROWS_AS(read(walker::amd_v1(1), 0x1000, {{0x1008, 0x3000000100000e01}}), Malformed);
    // A table that is its own child.
    CHECK_THROWS_AS(read(walker::amd_v1(2), 0x1000, {{0x1000, 0x6000000000001201}}), Malformed);
}

TEST_CASE("the walker reads the processor's tables") {
    CHECK(only(walker::x86_64(1), 0x123456067) == Page{0x123456000, 4096, true, true, true});
    CHECK(only(walker::x86_64(1), 0x123456025) == Page{0x123456000, 4096, true, false, false});
    CHECK(refused(walker::x86_64(1), 0x123456003));  // the supervisor's
    CHECK(refused(walker::x86_64(2), 0x2025));       // a table that is not writeable
    CHECK(only(walker::riscv(1, false), 0x48d15853) == Page{0x123456000, 4096, true, false, false});
    CHECK(only(walker::riscv(1, true), 0x8000000048d16053) ==
          Page{0x123450000, 65536, true, false, false});
    CHECK(refused(walker::riscv(1, false), 0x8000000048d16053));
    CHECK(refused(walker::riscv(1, true), 0x8000000048d14053));  // no size that there is
    CHECK(refused(walker::riscv(1, false), 0x48d158d5));         // writeable, not readable
    CHECK(refused(walker::riscv(1, false), 0x48d15801));         // a table at the last level
}

TEST_CASE("the walker reads Arm tables") {
    const Format stage1 = walker::arm_v8(1, 12, 1);
    CHECK(only(stage1, 0x123456fc7) == Page{0x123456000, 4096, true, false, false});
    CHECK(only(stage1, 0x8000123456f47) == Page{0x123456000, 4096, true, true, true});
    CHECK(only(stage1, 0x8000123456fc7) == Page{0x123456000, 4096, true, true, false});
    CHECK(refused(stage1, 0x123456f45));  // a block at the last level
    CHECK(refused(stage1, 0x123456b47));  // no access flag
    CHECK(refused(walker::arm_v8(2, 14, 1), 0x123455657));
    CHECK(only(walker::arm_v8(2, 16, 1), 0x12345678f657) ==
          Page{0xf123456780000, 65536, true, false, false});
    const Tree pair = read(walker::arm_v8(2, 12, 1, 2), 0x2000, {{0x3008, 0x5697}});
    CHECK(pair.pages.at(513 * 4096) == Page{0x5000, 4096, false, true, false});
    const Format v7s = walker::arm_v7s();
    CHECK(only(v7s, 0x12331c0e) == Page{0x12300000, 1 << 20, true, true, false});
    CHECK(refused(v7s, 0x1233180e));
    const Tree small = read(v7s, 0x10000, {{0x10004, 0x1401}, {0x1404, 0x12345e72}});
    CHECK(small.pages.at(0x101000) == Page{0x12345000, 4096, true, false, false});
    CHECK(small.tables == std::set<std::uint64_t>{0x1400, 0x10000});
}

TEST_CASE("the walker reads TCEs") {
    CHECK(only(walker::tce(1, 9, 16), 0x123450002) == Page{0x123450000, 65536, false, true, false});
    CHECK(refused(walker::tce(1, 9, 16), 0x123451002));  // not aligned
    CHECK(refused(walker::tce(1, 9, 12), 0x123450006));
    CHECK(refused(walker::tce(2, 9, 12), 0x2001));
    const Tree tree = read(walker::tce(2, 9, 12), 0x1000, {{0x1008, 0x2003}, {0x2010, 0x7003}});
    CHECK(tree.pages.at((512 + 2) * 4096) == Page{0x7000, 4096, true, true, false});
}

}  // namespace
