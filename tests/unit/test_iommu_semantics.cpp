// SPDX-License-Identifier: MIT
//
// What a domain may span, under each of the semantics: two IOMMUs with overlapping and with
// disjoint page sizes, devices that come after something was mapped, tables that are shared.

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "iommu/drivers/amd.h"
#include "iommu/drivers/intel.h"
#include "iommu/drivers/smmu_v3.h"
#include "iommu/iommu.h"
#include "radix_twin.h"
#include "support.h"

namespace kvmiommu::iommu {
namespace {

using namespace pgtable::twin;
using test::outcome;

constexpr std::uint64_t kLarge = k4K | k2M | k1G;

// Three IOMMUs of Intel's, the second of which has small pages only, and one of AMD's whose pages
// are not those of the others.
struct Bench {
    Bench(Semantics semantics, AttachAfterMap after_map) {
        intel.set_rules({semantics, after_map}, k4K);
        amd.set_rules({semantics, after_map}, k64K | k2M);
    }

    std::unique_ptr<Domain> domain_for(Device& device) {
        return value(device.ops().paging_domain_alloc(device, faults));
    }
    static std::vector<std::uint64_t> tables(const Domain& domain) {
        return dynamic_cast<const SharedDomain&>(domain).tables();
    }
    std::string map_at(Domain& domain, std::uint64_t iova, PhysAddr address, std::uint64_t size) {
        return outcome(map(domain, iova, address, size, kBoth, faults));
    }

    Machine machine;
    FaultPoints faults;
    IntelOps intel{machine.memory()};
    AmdOps amd{machine.memory()};
    const IommuDevice full{
        .name = "dmar0", .address_width = 48, .page_sizes = kLarge, .reserved = {}};
    const IommuDevice small{
        .name = "dmar1", .address_width = 48, .page_sizes = k4K, .reserved = {}};
    const IommuDevice like_full{
        .name = "dmar2", .address_width = 48, .page_sizes = kLarge, .reserved = {}};
    const IommuDevice other{
        .name = "ivhd0", .address_width = 48, .page_sizes = k64K | k2M, .reserved = {}};
    Device first{"0000:00:01.0", intel, full};
    Device beside{"0000:00:02.0", intel, full};
    Device limited{"0000:00:03.0", intel, small};
    Device alike{"0000:00:04.0", intel, like_full};
    Device foreign{"0000:00:05.0", amd, other};
};

TEST_CASE("today's domain is the driver's own") {
    Bench bench(Semantics::domain, AttachAfterMap::refuse);
    const auto domain = bench.domain_for(bench.first);
    CHECK(dynamic_cast<SharedDomain*>(domain.get()) == nullptr);
    CHECK(outcome(domain->attach_device(bench.alike, test::no_faults())) == "ok");
    CHECK(outcome(domain->attach_device(bench.limited, test::no_faults())) == "EINVAL");
}

TEST_CASE("devices behind one IOMMU share one table under every semantics but one") {
    for (const Semantics semantics : {Semantics::operations, Semantics::common, Semantics::tables,
                                      Semantics::instance, Semantics::legacy, Semantics::device}) {
        CAPTURE(static_cast<int>(semantics));
        Bench bench(semantics, AttachAfterMap::refuse);
        const auto domain = bench.domain_for(bench.first);
        CHECK(bench.map_at(*domain, 0, k1G, k4K) == "ENODEV");
        value(domain->attach_device(bench.first, test::no_faults()));
        value(domain->attach_device(bench.first, test::no_faults()));
        CHECK(bench.map_at(*domain, k4K, k1G, k4K) == "ok");
        const std::uint64_t one = domain->table_bytes();
        value(domain->attach_device(bench.beside, test::no_faults()));
        const bool shared = semantics != Semantics::device;
        CHECK(domain->table_bytes() == (shared ? one : 2 * one));
        CHECK(Bench::tables(*domain).size() == (shared ? 1 : 2));
        CHECK(domain->iova_to_phys(k4K) == k1G);
        CHECK(unmap(*domain, k4K, k4K, test::no_faults()) == k4K);
        CHECK(domain->iova_to_phys(k4K) == 0);
    }
}

TEST_CASE("whom a domain takes") {
    struct Row {
        Semantics semantics;
        std::string alike, limited, foreign;
        std::uint64_t sizes;  // when all that may come have come
        std::size_t tables;
    };
    const std::uint64_t from_64k = ~(k64K - 1) & ((std::uint64_t{2} << 51) - 1);
    for (const Row& row : {
             Row{Semantics::operations, "ok", "ok", "EINVAL", k4K, 1},
             Row{Semantics::common, "ok", "ok", "EINVAL", k4K, 1},
             Row{Semantics::tables, "ok", "ok", "ok", from_64k, 3},
             Row{Semantics::instance, "EINVAL", "EINVAL", "EINVAL", kLarge, 1},
             Row{Semantics::legacy, "ok", "ok", "EINVAL", k4K, 1},
             Row{Semantics::device, "ok", "ok", "ok", from_64k, 4},
         }) {
        CAPTURE(static_cast<int>(row.semantics));
        Bench bench(row.semantics, AttachAfterMap::refuse);
        const auto domain = bench.domain_for(bench.first);
        value(domain->attach_device(bench.first, test::no_faults()));
        CHECK(outcome(domain->attach_device(bench.alike, test::no_faults())) == row.alike);
        CHECK(outcome(domain->attach_device(bench.limited, test::no_faults())) == row.limited);
        CHECK(outcome(domain->attach_device(bench.foreign, test::no_faults())) == row.foreign);
        CHECK(domain->pgsize_bitmap() == row.sizes);
        CHECK(Bench::tables(*domain).size() == row.tables);
        // Whatever they are made of, all tables say the same.
        CHECK(bench.map_at(*domain, k2M, k1G, 3 * k2M) == "ok");
        CHECK(domain->iova_to_phys(2 * k2M + 5) == k1G + k2M + 5);
        CHECK(unmap(*domain, k2M, 3 * k2M, test::no_faults()) == 3 * k2M);
        CHECK(domain->iova_to_phys(2 * k2M) == 0);
    }
}

TEST_CASE("a device that lacks page sizes in use, decided in three ways") {
    for (const Semantics semantics : {Semantics::common, Semantics::legacy, Semantics::domain}) {
        CAPTURE(static_cast<int>(semantics));
        for (const auto after :
             {AttachAfterMap::refuse, AttachAfterMap::rebuild, AttachAfterMap::second_table}) {
            CAPTURE(static_cast<int>(after));
            if (semantics == Semantics::domain && after == AttachAfterMap::refuse) {
                continue;  // the driver's own
            }
            Bench bench(semantics, after);
            const auto domain = bench.domain_for(bench.first);
            value(domain->attach_device(bench.first, test::no_faults()));
            CHECK(bench.map_at(*domain, k2M, k1G, k2M + k4K) == "ok");
            CHECK(domain->walk(k2M).back().page_size == k2M);
            const std::uint64_t before = domain->table_bytes();
            const auto attached = domain->attach_device(bench.limited, test::no_faults());
            if (after == AttachAfterMap::refuse) {
                CHECK(outcome(attached) == "EINVAL");
                CHECK(domain->table_bytes() == before);
                CHECK(domain->pgsize_bitmap() == kLarge);
                // Nothing large is in use any more: then it may come.
                CHECK(unmap(*domain, k2M, k2M, test::no_faults()) == k2M);
                CHECK(outcome(domain->attach_device(bench.limited, test::no_faults())) == "ok");
                CHECK(domain->pgsize_bitmap() == k4K);
                CHECK(bench.map_at(*domain, k2M, k1G, k2M) == "ok");
                CHECK(domain->walk(k2M).back().page_size == k4K);
                continue;
            }
            CHECK(outcome(attached) == "ok");
            const bool second = after == AttachAfterMap::second_table;
            CHECK(Bench::tables(*domain).size() == (second ? 2 : 1));
            CHECK(domain->walk(k2M).back().page_size == (second ? k2M : k4K));
            CHECK(domain->iova_to_phys(2 * k2M - 1) == k1G + k2M - 1);
            CHECK(domain->iova_to_phys(2 * k2M) == k1G + k2M);
            // The second table goes with the device that it was made for.
            domain->detach_device(bench.limited);
            CHECK(Bench::tables(*domain).size() == 1);
            CHECK(domain->iova_to_phys(2 * k2M) == k1G + k2M);
        }
    }
}

TEST_CASE("page sizes that have nothing in common") {
    // AMD's two sizes and a second IOMMU of AMD's with others.
    for (const auto after :
         {AttachAfterMap::refuse, AttachAfterMap::rebuild, AttachAfterMap::second_table}) {
        CAPTURE(static_cast<int>(after));
        Bench bench(Semantics::common, after);
        const IommuDevice disjoint{
            .name = "ivhd1", .address_width = 48, .page_sizes = k4K | k1G, .reserved = {}};
        Device stranger("0000:00:06.0", bench.amd, disjoint);
        const auto domain = bench.domain_for(bench.foreign);
        value(domain->attach_device(bench.foreign, test::no_faults()));
        const bool second = after == AttachAfterMap::second_table;
        CHECK(outcome(domain->attach_device(stranger, test::no_faults())) ==
              (second ? "ok" : "EINVAL"));
        CHECK(bench.map_at(*domain, k64K, k1G, k64K) == "ok");
        // What is a multiple of one table's smallest page alone cannot be mapped in both.
        CHECK(bench.map_at(*domain, 4 * k64K + k4K, k1G, k4K) == "EINVAL");
        CHECK(domain->iova_to_phys(k64K + k4K) == k1G + k4K);
    }
}

TEST_CASE("page sizes in common that a table has no granule for") {
    // An SMMU's table has the granule of its first IOMMU; one of AMD's has every size, so that the
    // domain maps 64 KiB as one page in one table and as sixteen in the other.
    for (const auto after : {AttachAfterMap::refuse, AttachAfterMap::rebuild}) {
        CAPTURE(static_cast<int>(after));
        constexpr std::uint64_t k512M = std::uint64_t{512} << 20;
        Bench bench(Semantics::common, after);
        SmmuV3Ops smmu(bench.machine.memory(), k4K);
        smmu.set_rules({Semantics::common, after}, k4K);
        bench.amd.set_rules({Semantics::common, after}, k4K);
        const std::uint64_t most = k4K | k64K | k2M | k512M | k1G;
        const IommuDevice any{
            .name = "smmu0", .address_width = 44, .page_sizes = most, .reserved{}};
        const IommuDevice amd{
            .name = "ivhd0", .address_width = 48, .page_sizes = most, .reserved{}};
        const IommuDevice coarse{
            .name = "smmu1", .address_width = 44, .page_sizes = k64K | k512M, .reserved{}};
        Device first("0000:00:01.0", smmu, any);
        Device second("0000:00:02.0", bench.amd, amd);
        Device third("0000:00:03.0", smmu, coarse);
        Device fourth("0000:00:04.0", smmu, any);
        const auto domain = bench.domain_for(first);
        value(domain->attach_device(first, test::no_faults()));
        value(domain->attach_device(second, test::no_faults()));
        CHECK(bench.map_at(*domain, k64K, k1G, k64K) == "ok");
        const bool rebuilt = after == AttachAfterMap::rebuild;
        CHECK(outcome(domain->attach_device(third, test::no_faults())) ==
              (rebuilt ? "ok" : "EINVAL"));
        domain->detach_device(second);
        CHECK(lowest_bit(domain->pgsize_bitmap()) == (rebuilt ? k64K : k4K));
        CHECK(outcome(domain->attach_device(fourth, test::no_faults())) == "ok");
        CHECK(domain->iova_to_phys(2 * k64K - 1) == k1G + k64K - 1);
        CHECK(bench.map_at(*domain, 4 * k64K, k1G, k64K) == "ok");
        CHECK(bench.map_at(*domain, 8 * k64K, k1G, k4K) == (rebuilt ? "EINVAL" : "ok"));
        // With nothing mapped there is nothing to decide.
        for (const std::uint64_t iova : {k64K, 4 * k64K, 8 * k64K}) {
            unmap(*domain, iova, k64K, test::no_faults());
        }
        CHECK(outcome(domain->attach_device(third, test::no_faults())) == "ok");
        CHECK(lowest_bit(domain->pgsize_bitmap()) == k64K);
        CHECK(bench.map_at(*domain, 8 * k64K, k1G, k64K) == "ok");
    }
}

TEST_CASE("an attach that fails leaves everything as it was") {
    Bench bench(Semantics::tables, AttachAfterMap::refuse);
    const auto domain = bench.domain_for(bench.first);
    value(domain->attach_device(bench.first, test::no_faults()));
    CHECK(bench.map_at(*domain, k4K, k1G, k4K) == "ok");  // AMD's have 64 KiB and more
    const std::uint64_t before = domain->table_bytes();
    CHECK(outcome(domain->attach_device(bench.foreign, test::no_faults())) == "EINVAL");
    CHECK(domain->table_bytes() == before);
    CHECK(domain->pgsize_bitmap() == kLarge);
    CHECK(unmap(*domain, k4K, k4K, test::no_faults()) == k4K);
    CHECK(outcome(domain->attach_device(bench.foreign, test::no_faults())) == "ok");
}

TEST_CASE("a map that fails in one table is undone in all") {
    Bench bench(Semantics::tables, AttachAfterMap::refuse);
    const auto domain = bench.domain_for(bench.first);
    value(domain->attach_device(bench.first, test::no_faults()));
    value(domain->attach_device(bench.limited, test::no_faults()));
    value(domain->attach_device(bench.foreign, test::no_faults()));
    for (std::uint32_t nth = 1;; ++nth) {
        CAPTURE(nth);
        bench.faults.fail_nth(nth);
        const auto mapped = map(*domain, k2M - k64K, k1G - k64K, 2 * k2M, kBoth, bench.faults);
        if (mapped) {
            CHECK(nth > 5);
            break;
        }
        CHECK(outcome(mapped) == "ENOMEM");
        for (std::uint64_t at = 0; at < 3 * k2M; at += k64K) {
            REQUIRE(domain->iova_to_phys(at) == 0);
        }
    }
    bench.faults.fail_nth(0);
    CHECK(unmap(*domain, k2M - k64K, 2 * k2M, test::no_faults()) == 2 * k2M);
}

TEST_CASE("a part of a page that is large in one table goes from all as far as it goes from one") {
    Bench bench(Semantics::tables, AttachAfterMap::refuse);
    const auto domain = bench.domain_for(bench.first);
    value(domain->attach_device(bench.first, test::no_faults()));
    value(domain->attach_device(bench.limited, test::no_faults()));
    CHECK(bench.map_at(*domain, 0, k1G, 2 * k2M) == "ok");
    CHECK(unmap(*domain, k4K, k4K, test::no_faults()) == k2M);
    const auto gone = [&](Device& stays, Device& goes) {
        domain->detach_device(goes);
        CHECK(Bench::tables(*domain).size() == 1);
        CHECK(domain->iova_to_phys(0) == 0);
        CHECK(domain->iova_to_phys(k2M - 1) == 0);
        CHECK(domain->iova_to_phys(k2M) == k1G + k2M);
        value(domain->attach_device(goes, test::no_faults()));
        CHECK(domain->iova_to_phys(k2M) == k1G + k2M);
        static_cast<void>(stays);
    };
    gone(bench.limited, bench.first);
    gone(bench.first, bench.limited);
}

TEST_CASE("a range that begins in a large page and is as long goes from all tables alike") {
    Bench bench(Semantics::tables, AttachAfterMap::refuse);
    const auto domain = bench.domain_for(bench.first);
    value(domain->attach_device(bench.first, test::no_faults()));
    value(domain->attach_device(bench.limited, test::no_faults()));
    CHECK(bench.map_at(*domain, 0, k1G, 2 * k2M) == "ok");
    // In the first table both pages of 2 MiB go, and in the other what they stood for.
    CHECK(unmap(*domain, k1M, k2M, test::no_faults()) == 2 * k2M);
    for (int turn = 0; turn < 2; ++turn) {
        for (std::uint64_t at = 0; at < 2 * k2M; at += k4K) {
            REQUIRE(domain->iova_to_phys(at) == 0);
        }
        domain->detach_device(bench.first);
    }
    CHECK(bench.map_at(*domain, 0, k1G, 2 * k2M) == "ok");
}

TEST_CASE("a hole that one table does not see ends the unmap in none") {
    Bench bench(Semantics::tables, AttachAfterMap::refuse);
    // Tables of 16 KiB: one covers 32 MiB, where VT-d's covers 2 MiB.
    constexpr std::uint64_t k16K = std::uint64_t{16} << 10;
    constexpr std::uint64_t k32M = std::uint64_t{32} << 20;
    SmmuV3Ops smmu(bench.machine.memory(), k16K);
    const IommuDevice coarse{
        .name = "smmu0", .address_width = 48, .page_sizes = k16K | k32M, .reserved = {}};
    Device arm("0000:00:06.0", smmu, coarse);
    const auto domain = bench.domain_for(bench.first);
    value(domain->attach_device(bench.first, test::no_faults()));
    value(domain->attach_device(arm, test::no_faults()));
    CHECK(bench.map_at(*domain, 0, k1G + k16K, k2M) == "ok");
    CHECK(bench.map_at(*domain, 4 * k2M, k1G + k16K, k2M) == "ok");
    CHECK(unmap(*domain, 0, k32M, test::no_faults()) == k32M);
    for (int turn = 0; turn < 2; ++turn) {
        CHECK(domain->iova_to_phys(0) == 0);
        CHECK(domain->iova_to_phys(4 * k2M) == 0);
        CHECK(domain->iova_to_phys(5 * k2M - 1) == 0);
        domain->detach_device(bench.first);
    }
}

TEST_CASE("an unmap of a huge range looks at what several tables have of it, not at its pages") {
    constexpr std::uint64_t k1T = std::uint64_t{1} << 40;
    Bench bench(Semantics::device, AttachAfterMap::refuse);
    const auto domain = bench.domain_for(bench.first);
    value(domain->attach_device(bench.first, test::no_faults()));
    value(domain->attach_device(bench.alike, test::no_faults()));
    CHECK(bench.map_at(*domain, 0, k1G, k1T) == "ok");
    CHECK(unmap(*domain, k1T / 2 + k4K, k4K, test::no_faults()) == k1G);
    CHECK(bench.map_at(*domain, k1T / 2, k1G, k4K) == "ok");
    CHECK(bench.map_at(*domain, k1T / 2 + k1G - k4K, k1G, k4K) == "ok");
    CHECK(unmap(*domain, 0, 64 * k1T, test::no_faults()) == k1T);
    for (int turn = 0; turn < 2; ++turn) {
        for (const std::uint64_t iova : {std::uint64_t{0}, k1T / 2, k1T / 2 + k1G - 1, k1T - 1}) {
            CHECK(domain->iova_to_phys(iova) == 0);
        }
        domain->detach_device(bench.first);
    }
    CHECK(bench.map_at(*domain, 0, k1G, k1T) == "ok");
    CHECK(unmap(*domain, 0, k1T, test::no_faults()) == k1T);
}

TEST_CASE("random calls and a dictionary agree under every semantics") {
    for (const Semantics semantics : {Semantics::operations, Semantics::common, Semantics::tables,
                                      Semantics::legacy, Semantics::device}) {
        for (const auto after :
             {AttachAfterMap::refuse, AttachAfterMap::rebuild, AttachAfterMap::second_table}) {
            CAPTURE(static_cast<int>(semantics));
            CAPTURE(static_cast<int>(after));
            Bench bench(semantics, after);
            test::Numbers numbers(static_cast<std::uint64_t>(semantics) * 3 + 1);
            const auto domain = bench.domain_for(bench.first);
            value(domain->attach_device(bench.first, test::no_faults()));
            std::vector<Device*> others{&bench.beside, &bench.limited, &bench.alike};
            std::map<std::uint64_t, PhysAddr> pages;
            for (int step = 0; step < 150; ++step) {
                const std::uint64_t at = numbers.below(1024) * k4K;
                const std::uint64_t count = 1 + numbers.below(numbers.below(4) == 0 ? 700 : 5);
                switch (numbers.below(4)) {
                    case 0:
                    case 1: {
                        bool is_free = true;
                        for (std::uint64_t page = 0; page < count; ++page) {
                            is_free = is_free && !pages.contains(at + page * k4K);
                        }
                        if (!is_free) {
                            break;
                        }
                        const PhysAddr to = numbers.below(2) == 0 ? k1G + at : k1G + k4K;
                        REQUIRE(bench.map_at(*domain, at, to, count * k4K) == "ok");
                        for (std::uint64_t page = 0; page < count; ++page) {
                            pages[at + page * k4K] = to + page * k4K;
                        }
                        break;
                    }
                    case 2: {
                        const std::uint64_t gone =
                            unmap(*domain, at, count * k4K, test::no_faults());
                        // What went can be seen in the first table; the others are looked at below.
                        std::erase_if(pages, [&](const auto& page) {
                            return domain->iova_to_phys(page.first) == 0;
                        });
                        CHECK(gone % k4K == 0);
                        break;
                    }
                    default: {
                        Device& device = *others[numbers.below(others.size())];
                        if (numbers.below(2) == 0) {
                            domain->detach_device(device);
                        } else {
                            static_cast<void>(domain->attach_device(device, test::no_faults()));
                        }
                    }
                }
                std::uint64_t wrong = 0;
                for (std::uint64_t page = 0; page < 1800; ++page) {
                    const auto found = pages.find(page * k4K);
                    wrong += domain->iova_to_phys(page * k4K) !=
                             (found == pages.end() ? 0 : found->second);
                }
                REQUIRE(wrong == 0);
            }
            // The list of what is mapped gives a new table the same.
            for (Device* const device : others) {
                domain->detach_device(*device);
            }
            if (outcome(domain->attach_device(bench.limited, test::no_faults())) == "ok") {
                domain->detach_device(bench.first);
                for (const auto& [iova, address] : pages) {
                    REQUIRE(domain->iova_to_phys(iova) == address);
                }
            }
        }
    }
}

}  // namespace
}  // namespace kvmiommu::iommu
