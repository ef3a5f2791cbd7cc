// SPDX-License-Identifier: MIT
//
// How iommu::map() and unmap() split ranges, and what they and tables refuse.

#include "iommu/map.h"

#include <vector>

#include "iommu/bare_domain.h"
#include "iommu/drivers/intel.h"
#include "iommu/fixed_domain.h"
#include "support.h"

namespace kvmiommu::iommu {
namespace {

using test::Machine;
using test::outcome;
using test::value;

constexpr std::uint64_t k4K = std::uint64_t{4} << 10;
constexpr std::uint64_t k2M = std::uint64_t{2} << 20;
constexpr std::uint64_t k1G = std::uint64_t{1} << 30;
constexpr std::uint64_t kThree = k4K | k2M | k1G;
constexpr std::uint64_t kEvery = ~std::uint64_t{0xfff};

// The choices of one call, page by page as they are made.
std::string split(std::uint64_t bitmap, std::uint64_t iova, std::uint64_t address,
                  std::uint64_t size) {
    std::string text;
    while (size != 0) {
        const PageChoice choice = choose_page_size(bitmap, iova, address, size);
        const std::uint64_t bytes = choice.bytes;
        REQUIRE(bytes != 0);
        REQUIRE(bytes == choice.page_size * choice.count());
        REQUIRE(bytes <= size);
        REQUIRE(is_aligned(iova | address, choice.page_size));
        text += (text.empty() ? "" : ", ") + std::to_string(choice.count()) + "x" +
                std::to_string(choice.page_size >> 12);
        iova += bytes;
        address += bytes;
        size -= bytes;
    }
    return text;
}

TEST_CASE("pages climb to larger sizes where one of them fits behind the next boundary") {
    // counts x sizes in pages of 4 KiB: 512 is 2 MiB, 262144 is 1 GiB
    CHECK(split(kThree, 0x1ff000, 0x1ff000, 0x402000) == "1x1, 2x512, 1x1");
    CHECK(split(kThree, 0x3fe400000, 0x3fe400000, 0xc2200000) == "14x512, 3x262144, 3x512");
    CHECK(split(kThree, 0, 0, k1G) == "1x262144");
    CHECK(split(kThree, 0, 0, k1G - k4K) == "511x512, 511x1");
}

TEST_CASE("iova and address that never line up keep the page size") {
    CHECK(split(kThree, 0x1000, 0x2000, 2 * k2M) == "1024x1");
    // They do at 2 MiB, and not at 1 GiB.
    CHECK(split(kThree, 0x200000, 0x40600000, 2 * k1G) == "1024x512");
}

TEST_CASE("small pages go on to the end where no larger one fits behind the boundary") {
    CHECK(split(kThree, 0x200000, 0x40200000, k1G) == "512x512");
    CHECK(split(kThree, 0x1000, 0x1000, k2M) == "512x1");
    CHECK(split(kThree, 0x1000, 0x1000, 2 * k2M - k4K) == "511x1, 1x512");
    CHECK(split(kThree, 0x1000, 0x1000, 2 * k2M - 2 * k4K) == "1022x1");
}

TEST_CASE("with every power of two each step is the next size") {
    CHECK(split(kEvery, 0x1000, 0x1000, 0x7000) == "1x1, 1x2, 1x4");
    CHECK(split(kEvery, 0, 0, 0x7000) == "1x4, 1x2, 1x1");
    CHECK(split(kEvery, 0x1000, 0x3000, 0x3000) == "1x1, 1x2");
    CHECK(split(kEvery, 0x1000, 0x2000, 0x3000) == "3x1");
}

TEST_CASE("the last page of the space, and boundaries beyond it") {
    CHECK(split(kThree, ~std::uint64_t{0xfff}, ~std::uint64_t{0xfff}, k4K) == "1x1");
    const PageChoice half = choose_page_size(kEvery, 0, 0, std::uint64_t{1} << 62);
    CHECK(half.page_size == std::uint64_t{1} << 62);
    CHECK(half.count() == 1);
}

struct Unit {
    Machine machine;
    FaultPoints faults;
    IntelOps ops{machine.memory()};
    IommuDevice instance{
        .name = "dmar0", .address_width = 39, .page_sizes = kThree, .reserved = {}};
    Device device{"0000:00:02.0", ops, instance};
};

TEST_CASE("map() refuses what is no paging domain and what is not aligned") {
    Unit unit;
    const auto domain = value(unit.ops.domain_alloc_paging(unit.device, unit.faults));
    const auto try_map = [&](Domain& where, std::uint64_t iova, PhysAddr address,
                             std::uint64_t size) {
        return outcome(map(where, iova, address, size, kRead, unit.faults));
    };
    CHECK(try_map(unit.ops.default_domain(), 0, 0, k4K) == "EINVAL");
    CHECK(try_map(unit.ops.blocked_domain(), 0, 0, k4K) == "EINVAL");
    CHECK(try_map(*domain, 0x800, 0, k4K) == "EINVAL");
    CHECK(try_map(*domain, 0, 0x800, k4K) == "EINVAL");
    CHECK(try_map(*domain, 0, 0, 0x800) == "EINVAL");
    CHECK(try_map(*domain, 0, 0, 0) == "ok");
    CHECK(try_map(*domain, 0, k4K, k4K) == "ok");
    CHECK(try_map(*domain, 0, k2M, k4K) == "EEXIST");
    CHECK(try_map(*domain, std::uint64_t{1} << 39, k4K, k4K) == "ERANGE");
    CHECK(outcome(map(*domain, k2M, k4K, k4K, 0, unit.faults)) == "EINVAL");
    CHECK(domain->iova_to_phys(0x123) == k4K + 0x123);
    CHECK(domain->iova_to_phys(k4K) == 0);
}

TEST_CASE("a domain without page sizes maps nothing: ENODEV") {
    Unit unit;
    unit.instance.page_sizes = 0;
    const auto domain = value(unit.ops.domain_alloc_paging(unit.device, unit.faults));
    CHECK(outcome(map(*domain, 0, k4K, k4K, kRead, unit.faults)) == "ENODEV");
    CHECK(unmap(*domain, 0, k4K, test::no_faults()) == 0);
}

TEST_CASE("what meets a mapping half-way leaves nothing of itself") {
    Unit unit;
    const auto domain = value(unit.ops.domain_alloc_paging(unit.device, unit.faults));
    value(map(*domain, 2 * k2M, k1G, k4K, kRead, unit.faults));
    CHECK(outcome(map(*domain, k2M - k4K, 2 * k1G - k4K, 2 * k2M, kRead, unit.faults)) == "EEXIST");
    CHECK(domain->iova_to_phys(k2M - k4K) == 0);
    CHECK(domain->iova_to_phys(k2M) == 0);
    CHECK(domain->iova_to_phys(2 * k2M) == k1G);
}

TEST_CASE("unmap() answers what went") {
    Unit unit;
    const auto domain = value(unit.ops.domain_alloc_paging(unit.device, unit.faults));
    value(map(*domain, 0, k1G, 2 * k2M + k4K, kRead, unit.faults));
    CHECK(unmap(unit.ops.default_domain(), 0, k4K, test::no_faults()) == 0);
    CHECK(unmap(*domain, 0x800, k4K, test::no_faults()) == 0);
    CHECK(unmap(*domain, 0, 0x800, test::no_faults()) == 0);
    CHECK(unmap(*domain, k2M, k4K, test::no_faults()) == k2M);    // a large page goes whole
    CHECK(unmap(*domain, 0, 3 * k2M, test::no_faults()) == k2M);  // a hole ends it
    CHECK(unmap(*domain, 2 * k2M, k4K, test::no_faults()) == k4K);
    CHECK(unmap(*domain, 0, k2M, test::no_faults()) == 0);
    CHECK(unmap(*domain, 0, k1G, test::no_faults()) == k1G);  // a table goes with its holes
    CHECK(unmap(*domain, 0, k1G, test::no_faults()) == 0);
}

TEST_CASE("a row of pages over the end of the iovas, where the table goes on: ERANGE") {
    unsigned widths = 0;
    for (const char* name : {"armv8-s1", "armv8-s2", "x86_64", "vtdss", "riscv64"}) {
        CAPTURE(name);
        Machine machine;
        FaultPoints faults;
        const FormatInfo& format = *find_format(name);
        for (unsigned bits = 32; bits <= 57; ++bits) {
            if ((format.iova_bits >> bits & 1) == 0) {
                continue;
            }
            ++widths;
            CAPTURE(bits);
            const auto domain =
                value(create_bare_domain(machine.memory(), format, {.bits = bits}, faults));
            const Range aperture = domain->aperture();
            for (const std::uint64_t page : {k4K, k2M, k1G}) {
                const std::uint64_t start = aperture.last - (page - 1);
                CHECK(outcome(map(*domain, start, 8 * k1G, 2 * page, kRead, faults)) == "ERANGE");
                CHECK(domain->iova_to_phys(start) == 0);
                CHECK(outcome(map(*domain, start, 8 * k1G, page, kRead, faults)) == "ok");
                CHECK(unmap(*domain, start, page, test::no_faults()) == page);
            }
        }
    }
    CHECK(widths > 20);
}

TEST_CASE("a table that cannot be made leaves nothing") {
    Machine machine;  // says so if it does
    for (const FormatInfo& format : formats()) {
        CAPTURE(format.name);
        FaultPoints faults;
        faults.fail_nth(1);
        CHECK(outcome(create_bare_domain(machine.memory(), format, {}, faults)) == "ENOMEM");
    }
}

}  // namespace
}  // namespace kvmiommu::iommu
