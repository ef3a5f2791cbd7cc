// SPDX-License-Identifier: MIT
//
// Pages that say whether they have been written to.

#include <cstdint>
#include <functional>
#include <utility>
#include <vector>

#include "iommu/bare_domain_of.h"
#include "iommu/iommu.h"
#include "iommu/pgtable/amdv1.h"
#include "iommu/pgtable/vtdss.h"
#include "iommu/pgtable/x86_64.h"
#include "radix_twin.h"
#include "support.h"

namespace kvmiommu::iommu {
namespace {

using namespace pgtable::twin;
using test::outcome;

std::unique_ptr<Domain> tracking(Machine& machine, const char* format, std::uint64_t page_sizes) {
    FaultPoints faults;
    const FormatInfo* const info = find_format(format);
    REQUIRE(info != nullptr);
    return value(create_bare_domain(machine.memory(), *info,
                                    {.page_sizes = page_sizes, .dirty_tracking = true}, faults));
}

TEST_CASE("a bitmap has a bit for each page that a range touches") {
    std::vector<std::uint64_t> words(2);
    DirtyBitmap bitmap(0x100000, k4K, words);
    bitmap.record(0x100000 + 63 * k4K, 2 * k4K);
    CHECK(words == std::vector<std::uint64_t>{std::uint64_t{1} << 63, 1});
    bitmap.record(0, 0x100001);  // from before the first
    CHECK(words[0] == (std::uint64_t{1} << 63 | 1));
    bitmap.record(0x100000 + 127 * k4K, k1G);  // beyond the last
    CHECK(words[1] == (std::uint64_t{1} << 63 | 1));
    bitmap.record(0x100000 + 128 * k4K, k4K);
    bitmap.record(0, 0x100000);
    CHECK(words[0] == (std::uint64_t{1} << 63 | 1));
    CHECK(words[1] == (std::uint64_t{1} << 63 | 1));
    bitmap.record(0, ~std::uint64_t{0});
    CHECK(words == std::vector<std::uint64_t>{~std::uint64_t{0}, ~std::uint64_t{0}});
}

// Maps 16 pages and 2 MiB, writes to some, reads what was written to.
void track(const char* format) {
    CAPTURE(format);
    Machine machine;
    FaultPoints faults;
    const auto domain = tracking(machine, format, k4K | k2M);
    // 4 KiB pages: iova and address never line up. Behind them one of 2 MiB.
    REQUIRE(outcome(map(*domain, k1M, k1G + k4K, 16 * k4K, kBoth, faults)) == "ok");
    REQUIRE(outcome(map(*domain, k2M, k1G, k2M, kBoth, faults)) == "ok");
    const Range all{0, 2 * k2M - 1};
    std::vector<std::uint64_t> words(16);
    DirtyBitmap bitmap(0, k4K, words);
    const auto read = [&](Range range, bool make_clean) {
        std::fill(words.begin(), words.end(), 0);
        CHECK(outcome(domain->read_dirty(range, make_clean, &bitmap)) == "ok");
        std::vector<std::uint64_t> pages;
        for (std::uint64_t bit = 0; bit < 64 * words.size(); ++bit) {
            if ((words[bit / 64] >> bit % 64 & 1) != 0) {
                pages.push_back(bit);
            }
        }
        return pages;
    };
    using Numbers = std::vector<std::uint64_t>;

    // Not yet: nothing is recorded, but what is there can be made clean.
    domain->note_write(k1M);
    CHECK(outcome(domain->read_dirty(all, true, &bitmap)) == "EINVAL");
    CHECK(outcome(domain->read_dirty(all, true, nullptr)) == "ok");
    CHECK(outcome(domain->set_dirty_tracking(true)) == "ok");
    CHECK(read(all, false) == Numbers{});

    domain->note_write(k1M + 3 * k4K + 17);
    domain->note_write(k1M + 15 * k4K);
    domain->note_write(k2M + 5 * k4K);  // 2 MiB: all 512 of them
    domain->note_write(3 * k2M);        // nothing is there
    CHECK(read({k1M, k2M - 1}, false) == Numbers{259, 271});
    CHECK(read({k1M, k2M - 1}, false) == Numbers{259, 271});
    CHECK(read({k1M, k1M + 4 * k4K - 1}, true) == Numbers{259});
    CHECK(read({k1M, k2M - 1}, true) == Numbers{271});
    CHECK(read({k1M, k2M - 1}, true) == Numbers{});
    Numbers large;
    for (std::uint64_t page = 512; page < 1024; ++page) {
        large.push_back(page);
    }
    CHECK(read({k2M + k4K, k2M + k4K}, true) == large);
    CHECK(read(all, false) == Numbers{});
    CHECK(domain->iova_to_phys(k2M) == k1G);
    const auto found = domain->translate(k2M);
    REQUIRE(found);
    CHECK(found->protection == kBoth);

    CHECK(outcome(domain->set_dirty_tracking(false)) == "ok");
    domain->note_write(k1M);
    CHECK(outcome(domain->set_dirty_tracking(true)) == "ok");
    CHECK(read(all, false) == Numbers{});
}

TEST_CASE("pages that were written to are found, once or as often as they are asked for") {
    for (const char* format : {"amdv1", "vtdss", "x86_64", "armv8-s1"}) {
        track(format);
    }
}

TEST_CASE("a page of several entries is dirty when one of them is") {
    Machine machine;
    FaultPoints faults;
    const auto domain = tracking(machine, "amdv1", k4K | k64K | k2M);
    REQUIRE(outcome(map(*domain, k64K, k1G, k64K, kBoth, faults)) == "ok");
    CHECK(outcome(domain->set_dirty_tracking(true)) == "ok");
    domain->note_write(k64K + 9 * k4K);
    std::vector<std::uint64_t> words(1);
    DirtyBitmap bitmap(0, k64K, words);
    CHECK(outcome(domain->read_dirty({0, k2M - 1}, true, &bitmap)) == "ok");
    CHECK(words[0] == 2);
    words[0] = 0;
    CHECK(outcome(domain->read_dirty({0, k2M - 1}, true, &bitmap)) == "ok");
    CHECK(words[0] == 0);
}

TEST_CASE("the last page of the address space is read like any other") {
    Machine machine;
    FaultPoints faults;
    using Amd = pgtable::RadixTable<pgtable::AmdV1>;
    Amd table = value(Amd::create(machine.memory(), {3, 6}, faults));
    const std::uint64_t last = 0 - k4K;
    REQUIRE(refusal_of(table.map_pages(last, k1G, k4K, 1, kBoth, {}, faults)) == "ok");
    table.mark_dirty(~std::uint64_t{0});
    std::uint64_t seen = 0;
    table.each_dirty(
        0 - k2M, ~std::uint64_t{0}, false,
        [&](std::uint64_t iova, std::uint64_t size) { seen += iova == last && size == k4K; });
    CHECK(seen == 1);
}

// A format that does something else between looking at a leaf and marking it.
std::function<void()> meanwhile;
template <class F>
struct Interrupted : F {
    static typename F::Entry make_dirty(typename F::Entry entry) {
        if (meanwhile) {
            std::exchange(meanwhile, nullptr)();
        }
        return F::make_dirty(entry);
    }
};

template <class F>
void mark_beside_a_map(unsigned levels) {
    using Format = Interrupted<F>;
    Machine machine;
    FaultPoints faults;
    auto table = value(pgtable::RadixTable<Format>::create(
        machine.memory(), pgtable::Shape<Format>{levels, levels}, faults));
    REQUIRE(!table.map_pages(k2M, k1G, k2M, 1, kRead, {}, faults).refusal);
    meanwhile = [&] {
        CHECK(table.unmap_pages(k2M, k2M, 1, test::no_faults()) == k2M);
        REQUIRE(!table.map_pages(k2M, k1M, k4K, 1, kBoth, {}, faults).refusal);
    };
    table.mark_dirty(k2M + k4K);
    CHECK_FALSE(meanwhile);
    // What is mapped from now on lies where the walker finds it.
    CHECK(table.map_page(k2M + 3 * k4K, 8 * k4K, k4K, kBoth, {}));
    CHECK(table.map_page(2 * k2M - k4K, 9 * k4K, k4K, kBoth, {}));
    CHECK(table.iova_to_phys(k2M) == k1M);
    CHECK(table.iova_to_phys(k2M + 3 * k4K) == 8 * k4K);
    CHECK(table.iova_to_phys(2 * k2M - k4K) == 9 * k4K);
    CHECK(table.unmap_page(k2M, k4K));
    CHECK(table.iova_to_phys(k2M) == 0);
}

TEST_CASE("a page that becomes a table while a device marks it stays unmarked") {
    mark_beside_a_map<pgtable::VtdSecondLevel>(4);
    mark_beside_a_map<pgtable::AmdV1>(4);
    mark_beside_a_map<pgtable::X86_64>(4);
}

TEST_CASE("an IOMMU that does not mark pages says so") {
    Machine machine;
    FaultPoints faults;
    for (const char* format : {"riscv64", "amdv1"}) {
        const auto domain =
            value(create_bare_domain(machine.memory(), *find_format(format), {}, faults));
        CHECK_FALSE(domain->can_track_dirty());
        CHECK(outcome(domain->set_dirty_tracking(true)) == "EOPNOTSUPP");
        CHECK(outcome(domain->read_dirty({0, k4K - 1}, true, nullptr)) == "EOPNOTSUPP");
    }
}

}  // namespace
}  // namespace kvmiommu::iommu
