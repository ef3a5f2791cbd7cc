// SPDX-License-Identifier: MIT
//
// The walker that judges the tables, on entries typed from the specifications: what it finds, and
// what it does not let pass.

#include <cstdint>
#include <initializer_list>
#include <map>
#include <optional>
#include <string_view>
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

// A page, and letters: readable, writable, dirty, accessed, coherent.
Page page(std::uint64_t address, std::uint64_t size, std::string_view bits) {
    return {address,
            size,
            bits.contains('r'),
            bits.contains('w'),
            bits.contains('d'),
            bits.contains('a'),
            bits.contains('c')};
}

// Memory that holds 0 but for some words.
class Words {
  public:
    Words(const Format& format,
          std::initializer_list<std::pair<const std::uint64_t, std::uint64_t>> words)
        : format_(format), words_(words) {}

    Tree read(std::uint64_t root) const { return reader().read(root); }
    std::optional<Page> at(std::uint64_t root, std::uint64_t iova) const {
        return reader().at(root, iova);
    }

  private:
    walker::Reader reader() const {
        return {format_, [this](std::uint64_t address, std::size_t bytes) {
                    std::vector<std::uint8_t> found(bytes);
                    for (const auto& [at, word] : words_) {
                        put(found, at - address, word);
                    }
                    return found;
                }};
    }
    void put(std::vector<std::uint8_t>& to, std::uint64_t offset, std::uint64_t word) const {
        if (offset >= to.size()) {
            return;
        }
        for (unsigned byte = 0; byte < format_.entry_bytes; ++byte) {
            const unsigned place = format_.big_endian ? format_.entry_bytes - 1 - byte : byte;
            to.at(offset + place) = static_cast<std::uint8_t>(word >> 8 * byte);
        }
    }

    const Format format_;
    const std::map<std::uint64_t, std::uint64_t> words_;
};

Tree read(const Format& format, std::uint64_t root,
          std::initializer_list<std::pair<const std::uint64_t, std::uint64_t>> words) {
    return Words(format, words).read(root);
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
    CHECK(tree.pages.at(0x7fe00000) == page(0x123456000, 4096, "r"));
    CHECK(tree.pages.at(0x40000000) == page(0x40000000, 2 << 20, "rwd"));
    CHECK(only(walker::vtd_second_stage(1), 0x123456902) == page(0x123456000, 4096, "wac"));
    const Format last = walker::vtd_second_stage(1);
    CHECK(refused(last, 0x1083));                         // a large page at the last level
    CHECK(refused(last, 0x1000));                         // an address without rights
    CHECK(refused(last, 1ull << 52 | 0x1003));            // reserved
    CHECK(refused(walker::vtd_second_stage(2), 0x1083));  // 2 MiB that are not aligned
}

TEST_CASE("the walker reads AMD tables") {
    const Format two = walker::amd_v1(2);
    CHECK(only(walker::amd_v1(1), 0x7000000123456041) == page(0x123456000, 4096, "rwdc"));
    const Tree tree = read(walker::amd_v1(1), 0x1000,
                           {{0x1000, 0x3000000100000e01}, {0x1008, 0x3000000100000e41}});
    CHECK(tree.pages.size() == 1);
    CHECK(tree.pages.at(0) == page(0x100000000, 8192, "rdc"));
    CHECK(refused(walker::amd_v1(1), 0x1000));
    CHECK(refused(two, 0x6000000000003401));  // names a table of its own level
    CHECK(refused(two, 0x2000000000003201));  // a table that is not writeable
    CHECK(refused(two, 0x7000000100007e01));  // 64 KiB where pages have 2 MiB
    // Level 1 straight below level 3: what lies between must be 0.
    const Words skipping(walker::amd_v1(3),
                         {{0x1008, 0x6000000000002201}, {0x2018, 0x7000000000005001}});
    CHECK(skipping.read(0x1000).pages.at(0x40003000) == page(0x5000, 4096, "rwc"));
    CHECK(skipping.at(0x1000, 0x40003fff) == page(0x5000, 4096, "rwc"));
    CHECK_FALSE(skipping.at(0x1000, 0x40203000));
    CHECK_FALSE(skipping.at(0x1000, 0x40004000));
    CHECK_FALSE(skipping.at(0x1000, 0x8040003000));  // beyond three levels
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
    CHECK(only(walker::x86_64(1), 0x123456067) == page(0x123456000, 4096, "rwda"));
    CHECK(only(walker::x86_64(1), 0x123456025) == page(0x123456000, 4096, "ra"));
    CHECK(refused(walker::x86_64(1), 0x123456003));  // the supervisor's
    CHECK(refused(walker::x86_64(2), 0x2025));       // a table that is not writeable
    CHECK(only(walker::riscv(1, false), 0x48d15853) == page(0x123456000, 4096, "ra"));
    CHECK(only(walker::riscv(1, true), 0x8000000048d16053) == page(0x123450000, 65536, "ra"));
    CHECK(refused(walker::riscv(1, false), 0x8000000048d16053));
    CHECK(refused(walker::riscv(1, true), 0x8000000048d14053));  // no size that there is
    CHECK(refused(walker::riscv(1, false), 0x48d158d5));         // writeable, not readable
    CHECK(refused(walker::riscv(1, false), 0x48d15801));         // a table at the last level
}

TEST_CASE("the walker reads Arm tables") {
    const Format stage1 = walker::arm_v8(1, 12, 1);
    CHECK(only(stage1, 0x123456fc7) == page(0x123456000, 4096, "ra"));
    CHECK(only(stage1, 0x8000123456f47) == page(0x123456000, 4096, "rwda"));
    CHECK(only(stage1, 0x8000123456fc7) == page(0x123456000, 4096, "rwa"));
    CHECK(refused(stage1, 0x123456f45));  // a block at the last level
    CHECK(refused(stage1, 0x123456b47));  // no access flag
    CHECK(refused(walker::arm_v8(2, 14, 1), 0x123455657));
    CHECK(only(walker::arm_v8(2, 16, 1), 0x12345678f657) == page(0xf123456780000, 65536, "ra"));
    CHECK(only(walker::arm_v8(2, 12, 1), 0x8000123456657) == page(0x123456000, 4096, "rwa"));
    CHECK(only(walker::arm_v8(2, 12, 1), 0x80001234566d7) == page(0x123456000, 4096, "rwda"));
    const Tree pair = read(walker::arm_v8(2, 12, 1, 2), 0x2000, {{0x3008, 0x5697}});
    CHECK(pair.pages.at(513 * 4096) == page(0x5000, 4096, "wa"));
    const Format v7s = walker::arm_v7s();
    CHECK(only(v7s, 0x12331c0e) == page(0x12300000, 1 << 20, "rwa"));
    CHECK(refused(v7s, 0x1233180e));  // no access flag
    CHECK(refused(v7s, 0x1233140e));  // not for unprivileged accesses
    const Tree small = read(v7s, 0x10000, {{0x10004, 0x1401}, {0x1404, 0x12345e72}});
    CHECK(small.pages.at(0x101000) == page(0x12345000, 4096, "ra"));
    CHECK(small.tables == std::set<std::uint64_t>{0x1400, 0x10000});
}

TEST_CASE("the walker reads TCEs") {
    CHECK(only(walker::tce(1, 9, 16), 0x123450002) == page(0x123450000, 65536, "w"));
    CHECK(refused(walker::tce(1, 9, 16), 0x123451002));  // not aligned
    CHECK(refused(walker::tce(1, 9, 12), 0x123450006));
    CHECK(refused(walker::tce(2, 9, 12), 0x2001));
    const Tree tree = read(walker::tce(2, 9, 12), 0x1000, {{0x1008, 0x2003}, {0x2010, 0x7003}});
    CHECK(tree.pages.at((512 + 2) * 4096) == page(0x7000, 4096, "rw"));
}

// Bits of an entry, each of which can be the other way round without anything being wrong.
std::uint64_t free_bits(const Format& format, std::uint64_t entry) {
    std::uint64_t bits = 0;
    for (unsigned bit = 0; bit < format.entry_bytes * 8u; ++bit) {
        bits |= std::uint64_t{!refused(format, entry ^ std::uint64_t{1} << bit)} << bit;
    }
    return bits;
}

TEST_CASE("the walker lets no other bit pass than the specifications leave free") {
    const auto free = [](const Format& format, std::uint64_t entry) {
        REQUIRE_FALSE(refused(format, entry));
        return free_bits(format, entry);
    };
    // A, D, what is ignored, the address, FC, IR, IW.
    CHECK(free(walker::amd_v1(1), 0x7000000123456001) == 0xf80f'ffff'ffff'f1e0);
    // Of a page that can be read and written, either right; A, D, SNP and the memory's type.
    CHECK(free(walker::vtd_second_stage(1), 0x123456003) == 0x000f'ffff'ffff'ff7b);
    // R/W, the caches' two, A, D, G, XD.
    CHECK(free(walker::x86_64(1), 0x123456027) == 0x800f'ffff'ffff'ff7a);
    // W, X, G, RSW; with N the low end of the frame number is the size.
    CHECK(free(walker::riscv(1, false), 0x48d158d7) == 0x003f'ffff'ffff'ff2c);
    CHECK(free(walker::riscv(1, true), 0x8000'0000'48d1'60d7) == 0x803f'ffff'ffff'c32c);
    // AttrIndx, NS, AP[2], one half of SH, nG, DBM, the XNs; 16 KiB leaves two bits unused, 64 KiB
    // fills all four.
    CHECK(free(walker::arm_v8(1, 12, 1), 0x123456f47) == 0xffe8'ffff'ffff'f9bc);
    CHECK(free(walker::arm_v8(1, 14, 1), 0x123454f47) == 0xffe8'ffff'ffff'c9bc);
    CHECK(free(walker::arm_v8(1, 16, 1), 0x123450f47) == 0xffe8'ffff'ffff'f9bc);
    // MemAttr, S2AP.
    CHECK(free(walker::arm_v8(2, 12, 1), 0x1234566d7) == 0xffe8'ffff'ffff'fbfc);
    // A section: PXN, C, B, XN, the domain, TEX, AP[2], S, nG, NS.
    CHECK(free(walker::arm_v7s(), 0x12331c0e) == 0xfffb'f3fd);
    CHECK(free(walker::tce(1, 9, 12), 0x123456003) == 0x000f'ffff'ffff'f003);
    CHECK(free(walker::tce(1, 9, 16), 0x123450003) == 0x000f'ffff'ffff'0003);
}

}  // namespace
