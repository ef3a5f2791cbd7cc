// SPDX-License-Identifier: MIT
//
// Translations that stay: what invalidates them, when, and what is told of those that were used too
// late.

#include <cstdint>
#include <memory>
#include <vector>

#include "iommu/drivers/amd.h"
#include "iommu/drivers/intel.h"
#include "iommu/iommu.h"
#include "radix_twin.h"
#include "support.h"

namespace kvmiommu::iommu {
namespace {

using namespace pgtable::twin;
using mm::Access;
using test::outcome;

// A device in a domain of a machine.
struct Bench {
    explicit Bench(bool strict, bool dirty = false) : control(strict), ops(machine.memory()) {
        ops.set_iotlb_control(control);
        instance.dirty_tracking = dirty;
        device = std::make_unique<Device>("0000:00:02.0", ops, instance);
        group.add_device(*device);
        domain = value(ops.domain_alloc_user(
            *device, dirty ? uapi::IOMMU_HWPT_ALLOC_DIRTY_TRACKING : 0, nullptr, nullptr, faults));
        value(group.attach(*domain, test::no_faults()));
    }
    ~Bench() { group.detach(*domain); }

    void map(std::uint64_t iova, PhysAddr address, std::uint64_t size) {
        value(iommu::map(*domain, iova, address, size, kRead | kWrite, faults));
    }
    // Where an access leads; 0 for a fault.
    PhysAddr access(std::uint64_t iova, Access kind = Access::read) {
        PhysAddr reached = 0;
        const auto fault = group.dma("0000:00:02.0", iova, kind, [&](const DmaTarget& target) {
            reached = target.address;
            return true;
        });
        CHECK(fault.has_value() == (reached == 0));
        return reached;
    }

    Machine machine;
    FaultPoints faults;
    IotlbControl control;
    AmdOps ops;
    IommuDevice instance{
        .name = "ivhd0", .address_width = 64, .page_sizes = k4K | k64K | k2M, .reserved = {}};
    std::unique_ptr<Device> device;
    Group group{1};
    std::unique_ptr<Domain> domain;
};

TEST_CASE("a read of a device is no write, whether its translation is kept or not") {
    for (const bool kept : {false, true}) {
        CAPTURE(kept);
        Bench bench(true, true);
        bench.map(0, k1G, 2 * k4K);
        value(bench.domain->set_dirty_tracking(true));
        const auto dirty = [&] {
            std::uint64_t words[1] = {};
            DirtyBitmap bitmap(0, k4K, words);
            value(bench.domain->read_dirty({0, 2 * k4K - 1}, true, &bitmap));
            return words[0];
        };
        if (kept) {
            CHECK(bench.access(0, Access::read) != 0);
        }
        CHECK(bench.access(0, Access::read) != 0);
        CHECK(bench.access(k4K, Access::read) != 0);
        CHECK(dirty() == 0);
        CHECK(bench.access(k4K, Access::write) != 0);
        CHECK(dirty() == 2);
    }
}

TEST_CASE("an unmap ends with its invalidation") {
    Bench bench(true);
    bench.map(0, k1G, 4 * k4K);
    CHECK(bench.access(5) == k1G + 5);
    CHECK(bench.access(7) == k1G + 7);
    CHECK(bench.access(k4K) == k1G + k4K);
    CHECK(bench.control.figures().hits == 1);
    CHECK(bench.control.figures().misses == 2);
    CHECK(unmap(*bench.domain, 0, k4K, test::no_faults()) == k4K);
    CHECK(bench.access(5) == 0);
    CHECK(bench.access(k4K) == k1G + k4K);
    CHECK(bench.control.figures().stale_uses == 0);
    CHECK(bench.control.figures().invalidations == 1);
}

TEST_CASE("a queue is worked off when its time has come, and until then devices get through") {
    Bench bench(false);
    bench.map(0, k1G, 4 * k4K);
    CHECK(bench.access(0) == k1G);
    CHECK(bench.access(k4K) == k1G + k4K);
    CHECK(unmap(*bench.domain, 2 * k4K, k4K, test::no_faults()) == k4K);
    CHECK(unmap(*bench.domain, 0, 2 * k4K, test::no_faults()) == 2 * k4K);
    CHECK(bench.domain->iova_to_phys(0) == 0);
    CHECK(bench.access(8, Access::write) == k1G + 8);
    CHECK(bench.access(k4K) == k1G + k4K);
    CHECK(bench.access(2 * k4K) == 0);  // it was not kept
    CHECK(bench.control.figures().queued == 2);
    const auto uses = bench.control.stale_uses();
    REQUIRE(uses.size() == 2);
    CHECK(uses[0].device == "0000:00:02.0");
    CHECK(uses[0].iova == 8);
    CHECK(uses[0].access == Access::write);
    CHECK(uses[0].unmap == 2);
    CHECK(uses[0].unmapped == Range{0, 2 * k4K - 1});
    CHECK(uses[1].sequence == 1);
    bench.control.flush();
    CHECK(bench.access(0) == 0);
    CHECK(bench.control.figures().queued == 0);
    CHECK(bench.control.figures().stale_uses == 2);
}

TEST_CASE("a mapping in the place of an unmapped one is not seen before the invalidation") {
    Bench bench(false);
    bench.map(0, k1G, k4K);
    CHECK(bench.access(0) == k1G);
    CHECK(unmap(*bench.domain, 0, k4K, test::no_faults()) == k4K);
    bench.map(0, 2 * k1G, k4K);
    CHECK(bench.access(0) == k1G);
    bench.control.flush();
    CHECK(bench.access(0) == 2 * k1G);
}

TEST_CASE("a full queue is worked off for the next unmap") {
    Bench bench(false);
    bench.map(0, k1G, k2M);
    bench.map(k2M, k1G + k4K, 2 * k2M);
    CHECK(bench.access(k2M) == k1G + k4K);
    CHECK(unmap(*bench.domain, k2M, k4K, test::no_faults()) == k4K);
    for (std::uint64_t page = 1; page < Iotlb::kQueue; ++page) {
        CHECK(unmap(*bench.domain, k2M + page * k4K, k4K, test::no_faults()) == k4K);
    }
    CHECK(bench.access(k2M) == k1G + k4K);
    CHECK(unmap(*bench.domain, k2M + Iotlb::kQueue * k4K, k4K, test::no_faults()) == k4K);
    CHECK(bench.access(k2M) == 0);
    CHECK(bench.control.figures().queued == 1);
}

TEST_CASE("a larger page goes with all that was kept of it") {
    Bench bench(true);
    bench.map(0, k1G, k2M);
    CHECK(bench.access(0) == k1G);
    CHECK(bench.access(k2M - 1) == k1G + k2M - 1);
    CHECK(unmap(*bench.domain, k64K, k4K, test::no_faults()) == k2M);
    CHECK(bench.access(0) == 0);
    CHECK(bench.access(k2M - 1) == 0);
}

TEST_CASE("a larger page that a range of its length begins in goes with all that was kept of it") {
    Bench bench(true);
    bench.map(0, k1G, 2 * k2M);
    for (const std::uint64_t iova : {std::uint64_t{0}, k1M, k2M - 1, 2 * k2M - 1}) {
        CHECK(bench.access(iova) == k1G + iova);
    }
    CHECK(unmap(*bench.domain, k1M + k4K, k4K, test::no_faults()) == k2M);
    CHECK(bench.access(0) == 0);
    CHECK(bench.access(k2M - 1) == 0);
    CHECK(bench.access(2 * k2M - 1) == k1G + 2 * k2M - 1);
    bench.map(0, k1G, k2M);
    CHECK(bench.access(0) == k1G);
    // As many bytes go as were asked for, but others.
    CHECK(unmap(*bench.domain, k1M, k2M, test::no_faults()) == k2M);
    CHECK(bench.domain->iova_to_phys(0) == 0);
    CHECK(bench.access(0) == 0);
    CHECK(bench.access(2 * k2M - 1) == k1G + 2 * k2M - 1);
}

TEST_CASE("what is gathered is invalidated together, and sooner when it does not fit") {
    Bench bench(true);
    bench.map(0, k1G + k4K, 64 * k4K);
    for (const std::uint64_t page : {0, 1, 2, 8}) {
        CHECK(bench.access(page * k4K) == k1G + k4K + page * k4K);
    }
    IotlbGather gather;
    CHECK(gather.empty());
    CHECK(unmap_fast(*bench.domain, k4K, k4K, gather, test::no_faults()) == k4K);
    CHECK(unmap_fast(*bench.domain, 0, k4K, gather, test::no_faults()) == k4K);
    CHECK(gather.range == Range{0, 2 * k4K - 1});
    CHECK(gather.page_size == k4K);
    CHECK(bench.access(0) == k1G + k4K);
    CHECK(bench.control.stale_uses().back().unmapped == Range{0, k4K - 1});
    CHECK(bench.control.figures().invalidations == 0);
    // Elsewhere: what was gathered goes first.
    CHECK(unmap_fast(*bench.domain, 8 * k4K, k4K, gather, test::no_faults()) == k4K);
    CHECK(bench.control.figures().invalidations == 1);
    CHECK(bench.access(0) == 0);
    CHECK(bench.access(8 * k4K) == k1G + 9 * k4K);
    CHECK(gather.range == Range{8 * k4K, 9 * k4K - 1});
    iotlb_sync(*bench.domain, gather);
    CHECK(gather.empty());
    CHECK(bench.access(8 * k4K) == 0);
    CHECK(bench.access(2 * k4K) == k1G + 3 * k4K);
    iotlb_sync(*bench.domain, gather);
    CHECK(bench.control.figures().invalidations == 2);
    CHECK(unmap_fast(*bench.domain, 5, k4K, gather, test::no_faults()) == 0);
    CHECK(gather.empty());
}

TEST_CASE("pages that were written to are marked once, and again when they were made clean") {
    Bench bench(true, true);
    bench.map(0, k1G + k4K, 4 * k4K);
    value(bench.domain->set_dirty_tracking(true));
    const auto dirty = [&] {
        std::vector<std::uint64_t> words(1);
        DirtyBitmap bitmap(0, k4K, words);
        value(bench.domain->read_dirty({0, 4 * k4K - 1}, true, &bitmap));
        return words[0];
    };
    CHECK(bench.access(0) != 0);
    CHECK(dirty() == 0);
    for (int round = 0; round < 2; ++round) {
        CHECK(bench.access(k4K + 3, Access::write) != 0);
        CHECK(bench.access(k4K + 4, Access::write) != 0);
        CHECK(dirty() == 2);
        CHECK(dirty() == 0);
    }
}

TEST_CASE("a large page is marked again wherever it is written to, once a part was made clean") {
    Bench bench(true, true);
    bench.map(0, k1G, k2M);
    value(bench.domain->set_dirty_tracking(true));
    const auto dirty = [&](Range range) {
        std::vector<std::uint64_t> words(8);
        DirtyBitmap bitmap(0, k4K, words);
        value(bench.domain->read_dirty(range, true, &bitmap));
        return words[0] != 0;
    };
    CHECK(bench.access(k1M, Access::write) != 0);
    CHECK(dirty({0, k4K - 1}));
    CHECK_FALSE(dirty({0, k2M - 1}));
    CHECK(bench.access(k1M, Access::write) != 0);
    CHECK(dirty({0, k4K - 1}));
}

TEST_CASE("a page that was written to before writes were tracked is marked by the next one") {
    Bench bench(true, true);
    bench.map(0, k1G + k4K, k4K);
    const auto dirty = [&] {
        std::vector<std::uint64_t> words(1);
        DirtyBitmap bitmap(0, k4K, words);
        value(bench.domain->read_dirty({0, k4K - 1}, true, &bitmap));
        return words[0];
    };
    for (int turn = 0; turn < 2; ++turn) {
        CHECK(bench.access(0, Access::write) != 0);
        value(bench.domain->set_dirty_tracking(true));
        CHECK(bench.access(0, Access::write) != 0);
        CHECK(dirty() == 1);
        value(bench.domain->set_dirty_tracking(false));
    }
}

TEST_CASE("what was kept goes when the devices leave") {
    Bench bench(false);
    bench.map(0, k1G, k4K);
    CHECK(bench.access(0) == k1G);
    CHECK(unmap(*bench.domain, 0, k4K, test::no_faults()) == k4K);
    bench.group.detach(*bench.domain);
    value(bench.group.attach(*bench.domain, test::no_faults()));
    CHECK(bench.access(0) == 0);
}

TEST_CASE("the oldest entry makes room for a new one") {
    Bench bench(false);
    bench.map(0, k1G, 4 * (Iotlb::kEntries + 1) * k4K);
    for (std::uint64_t page = 0; page <= Iotlb::kEntries; ++page) {
        CHECK(bench.access(page * k4K) != 0);
    }
    const auto before = bench.control.figures();
    CHECK(bench.access(Iotlb::kEntries * k4K) != 0);
    CHECK(bench.control.figures().hits == before.hits + 1);
    CHECK(bench.access(0) != 0);
    CHECK(bench.control.figures().misses == before.misses + 1);
}

}  // namespace
}  // namespace kvmiommu::iommu
