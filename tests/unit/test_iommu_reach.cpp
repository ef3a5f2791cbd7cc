// SPDX-License-Identifier: MIT
//
// How far a translation is good: to the end of its leaf, which may be less than 4 KiB. iommufd's
// mock device has leaves of 2 KiB (drivers/iommu/iommufd/selftest.c: MOCK_IO_PAGE_SIZE).

#include <array>
#include <cstring>
#include <memory>
#include <optional>
#include <vector>

#include "iommu/drivers/fsl_pamu.h"
#include "iommu/drivers/virtio.h"
#include "iommu/iommu.h"
#include "iommu/pgtable/amdv1.h"
#include "iommu/pgtable/table_domain.h"
#include "spapr/spapr.h"
#include "support.h"
#include "toy_iommu.h"

namespace kvmiommu::iommu {
namespace {

using test::Machine;
using test::outcome;
using test::ToyDomain;
using test::ToyOps;
using test::value;

constexpr std::uint64_t k2K = 2048;
constexpr std::uint64_t k4K = 4096;
constexpr std::uint64_t kIova = 0x100000;
constexpr std::uint64_t kPages = 8;

// The mock's own format, in a domain that devices can be attached to.
class MockDomain final : public pgtable::TableDomain<pgtable::MockV1> {
  public:
    static std::unique_ptr<MockDomain> create(const Ops& ops, mm::PhysicalMemory& memory) {
        FaultPoints faults;
        return std::unique_ptr<MockDomain>(new MockDomain(
            ops, value(Table::create(memory, pgtable::shape_for<pgtable::MockV1>(40), faults))));
    }
    Result<> attach_device(Device&, FaultPoints&) override { return {}; }

  private:
    MockDomain(const Ops& ops, Table table)
        : TableDomain(ops, k2K, {0, low_mask(40)}, std::move(table)) {
        allow_dirty_tracking();
    }
};

// A device, and half pages of RAM mapped in the opposite order.
struct Bus {
    explicit Bus(bool mock, std::optional<bool> strict) : control(strict.value_or(true)) {
        if (strict) {
            ops.set_iotlb_control(control);
        }
        group.add_device(device);
        owned = value(DmaOwnership::of(group, this));
        if (mock) {
            domain = MockDomain::create(ops, machine.memory());
        } else {
            domain = std::make_unique<ToyDomain>(ops, ops.contexts, k2K);
        }
        ram = value(machine.memory().allocate_frames(2));
        for (std::uint64_t at = 0; at < kPages; ++at) {
            value(map(*domain, kIova + at * k2K, behind(at), k2K, kRead | kWrite, faults));
        }
        value(group.attach(*domain, test::no_faults()));
    }
    ~Bus() {
        group.detach(*domain);
        owned.release();
        domain.reset();
        machine.memory().free_frames(ram, 2);
    }

    PhysAddr behind(std::uint64_t at) const { return ram + (kPages - 1 - at) * k2K; }
    std::byte& byte(std::uint64_t iova) {
        const std::uint64_t offset = iova - kIova;
        return *machine.memory().at(behind(offset / k2K) + offset % k2K);
    }
    std::uint64_t dirty() {
        std::uint64_t words[1] = {};
        DirtyBitmap bitmap(kIova, k2K, words);
        value(domain->read_dirty({kIova, kIova + kPages * k2K - 1}, true, &bitmap));
        return words[0];
    }

    Machine machine;
    FaultPoints faults;
    IotlbControl control;
    ToyOps ops{k2K};
    const IommuDevice instance{.name = "mock0", .page_sizes = k2K, .reserved = {}};
    Device device{"0000:00:02.0", ops, instance};
    Group group{1};
    DmaOwnership owned;
    PhysAddr ram = 0;
    std::unique_ptr<Domain> domain;
    FaultLog log;
    DmaPort port{"0000:00:02.0", &group, machine.memory(), log};
};

// With each domain, without an IOTLB and with one.
template <class Act>
void for_each_bus(Act&& act) {
    for (const bool mock : {false, true}) {
        CAPTURE(mock);
        for (const std::optional<bool> strict : {std::optional<bool>(), {true}, {false}}) {
            CAPTURE(strict.has_value());
            Bus bus(mock, strict);
            act(bus);
        }
    }
}

TEST_CASE("an access goes on where a leaf of 2 KiB ends") {
    for_each_bus([](Bus& bus) {
        std::vector<std::byte> out(kPages * k2K - 700);
        for (std::size_t at = 0; at < out.size(); ++at) {
            out[at] = static_cast<std::byte>(at * 7 + at / k2K);
        }
        for (int turn = 0; turn < 2; ++turn) {
            value(bus.port.write(kIova + 300, out));
        }
        std::uint64_t wrong = 0;
        for (std::size_t at = 0; at < out.size(); ++at) {
            wrong += bus.byte(kIova + 300 + at) != out[at];
        }
        CHECK(wrong == 0);
        CHECK(bus.byte(kIova + 299) == std::byte{0});
        std::vector<std::byte> in(out.size());
        value(bus.port.read(kIova + 300, in));
        CHECK(in == out);
    });
}

TEST_CASE(
    "what lies before the leaf that is missing has been moved, and the fault names its iova") {
    for_each_bus([](Bus& bus) {
        const std::vector<std::byte> out(3 * k2K, std::byte{9});
        CHECK(unmap(*bus.domain, kIova + 2 * k2K, k2K, test::no_faults()) == k2K);
        CHECK(outcome(bus.port.write(kIova + 1, out)) == "EFAULT");
        CHECK(bus.log.faults().back().iova == kIova + 2 * k2K);
        CHECK(bus.byte(kIova + 2 * k2K - 1) == std::byte{9});
        CHECK(bus.byte(kIova + 2 * k2K) == std::byte{0});
        CHECK(bus.byte(kIova + 3 * k2K) == std::byte{0});
        CHECK(outcome(bus.port.write(kIova + 3 * k2K, out)) == "ok");
    });
}

TEST_CASE("a write makes the leaf of 2 KiB dirty that it is in, and not its neighbour") {
    for_each_bus([](Bus& bus) {
        value(bus.domain->set_dirty_tracking(true));
        const std::array<std::byte, 2> out{};
        for (int turn = 0; turn < 2; ++turn) {
            value(bus.port.write(kIova + 3 * k2K, out));
            CHECK(bus.dirty() == 0b1000);
            value(bus.port.write(kIova + 2 * k2K + 5, out));
            value(bus.port.write(kIova + 5 * k2K - 1, out));
            CHECK(bus.dirty() == 0b110100);
            CHECK(bus.dirty() == 0);
        }
    });
}

TEST_CASE("an unmapped leaf of 2 KiB goes from the IOTLB, and its neighbour stays") {
    Bus bus(true, true);
    std::array<std::byte, 1> byte{};
    const auto misses = [&] { return bus.control.figures().misses; };
    for (const std::uint64_t iova : {kIova, kIova + k2K, kIova + 2 * k2K}) {
        value(bus.port.read(iova, byte));
    }
    CHECK(misses() == 3);
    CHECK(unmap(*bus.domain, kIova + k2K, k2K, test::no_faults()) == k2K);
    CHECK(outcome(bus.port.read(kIova + k2K, byte)) == "EFAULT");
    CHECK(misses() == 4);
    value(bus.port.read(kIova + k2K - 1, byte));
    value(bus.port.read(kIova + 2 * k2K, byte));
    CHECK(misses() == 4);
}

TEST_CASE(
    "a stale leaf of 2 KiB is reported, its neighbour is not, a larger one begins behind it") {
    Bus bus(false, false);
    std::array<std::byte, 1> byte{};
    value(bus.port.read(kIova, byte));
    value(bus.port.read(kIova + k2K, byte));
    CHECK(unmap(*bus.domain, kIova, k2K, test::no_faults()) == k2K);
    value(bus.port.read(kIova + k2K, byte));
    CHECK(bus.control.figures().stale_uses == 0);
    value(bus.port.read(kIova + k2K - 1, byte));
    CHECK(bus.control.figures().stale_uses == 1);
    CHECK(bus.control.stale_uses().back().unmapped == Range{kIova, kIova + k2K - 1});
    value(bus.port.read(kIova + 2 * k2K, byte));
    value(bus.port.read(kIova + 3 * k2K, byte));
    CHECK(unmap(*bus.domain, kIova + 3 * k2K, k2K, test::no_faults()) == k2K);
    value(bus.port.read(kIova + 2 * k2K, byte));
    CHECK(bus.control.figures().stale_uses == 1);

    // 4 KiB whose first half is stale: what is kept of the old leaf is used, and reported.
    IotlbControl control(false);
    Iotlb iotlb(control);
    const auto walk = [](PhysAddr address, Range leaf) {
        return [=] { return std::optional(Translation{address, kRead, leaf}); };
    };
    PhysAddr reached = 0;
    std::uint64_t good_for = 0;
    const auto access = [&](std::uint64_t iova, auto&& walked) {
        CHECK(iotlb.access(
            "device", iova, mm::Access::read, walked, [] {},
            [&](const Iotlb::Found& found) {
                reached = found.translation.address;
                good_for = found.translation.bytes_from(iova);
            }));
    };
    access(0, walk(0x10000, {0, k2K - 1}));
    iotlb.unmapped({0, k2K - 1});
    access(k2K + 1, walk(0x20000 + k2K + 1, {0, k4K - 1}));
    CHECK(reached == 0x20000 + k2K + 1);
    access(1, walk(0x20001, {0, k4K - 1}));
    CHECK(reached == 0x10001);
    CHECK(good_for == k2K - 1);
    CHECK(control.figures().stale_uses == 1);
    access(k4K - 1, walk(0, {0, 0}));
    CHECK(reached == 0x20000 + k4K - 1);
    CHECK(good_for == 1);
}

TEST_CASE("a translation says which iovas its leaf has") {
    Machine machine;
    FaultPoints faults;
    PamuDomain pamu;
    value(pamu.set_geometry(0x100000, 0x100000));
    value(pamu.set_windows(4));
    value(pamu.enable_window(1, 0x8000000, 0x10000, kRead));
    value(pamu.enable_dma(true));
    CHECK(value(Result<Translation>(*pamu.translate(0x14abcd))).leaf == Range{0x140000, 0x14ffff});

    VirtioOps virtio(k4K);
    const IommuDevice instance{.name = "viommu0", .page_sizes = ~(k4K - 1), .reserved = {}};
    Device device{"0000:00:03.0", virtio, instance};
    const auto mappings = value(virtio.domain_alloc_paging(device, faults));
    value(map(*mappings, 0x3000, 0x40003000, 0x5000, kRead, faults));
    const auto mapped = mappings->translate(0x4321);
    REQUIRE(mapped);
    CHECK(mapped->address == 0x40004321);
    CHECK(mapped->leaf.contains(std::uint64_t{0x4321}));
    CHECK(mappings->iova_to_phys(mapped->leaf.start) == 0x40000000 + mapped->leaf.start);
    CHECK(mappings->iova_to_phys(mapped->leaf.last) == 0x40000000 + mapped->leaf.last);

    const auto everything = virtio.default_domain().translate(5);
    REQUIRE(everything);
    CHECK(everything->leaf == Range{0, ~std::uint64_t{0}});
    CHECK(everything->bytes_from(0) == ~std::uint64_t{0});
    CHECK(everything->bytes_from(1) == ~std::uint64_t{0});
    CHECK(everything->bytes_from(2) == ~std::uint64_t{0} - 1);
    CHECK(everything->bytes_from(~std::uint64_t{0}) == 1);

    // A window that does not begin at 0.
    constexpr std::uint64_t k64K = 64 << 10;
    spapr::PowernvTableGroup bridge(machine.census(), machine.memory(), k64K,
                                    {.dma32_start = 0, .dma32_size = 1 << 30, .page_sizes = k64K});
    const auto window = value(bridge.create_table(1, 16, 1 << 28, 1, faults));
    value(window->exchange(window->offset() + 2, {0x50000, uapi::TCE_PCI_READ}, faults));
    const std::uint64_t start = window->start() + 2 * k64K;
    CHECK(window->translate(start + 77)->leaf == Range{start, start + k64K - 1});
}

}  // namespace
}  // namespace kvmiommu::iommu
