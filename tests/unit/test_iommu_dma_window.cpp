// SPDX-License-Identifier: MIT
//
// An access of a device and an unmap that meet: who comes first has ended when the other begins.

#include <array>
#include <atomic>
#include <thread>

#include "iommu/drivers/intel.h"
#include "iommu/iommu.h"
#include "support.h"

namespace kvmiommu::iommu {
namespace {

using test::Machine;
using test::value;

constexpr std::uint64_t kIova = 0x100000;
constexpr int kTurns = 3000;

struct Bus {
    explicit Bus(bool strict = true) : control(strict) {
        ops.set_iotlb_control(control);
        instance.page_sizes = 0x40201000;
        group.add_device(device);
        owned = value(DmaOwnership::of(group, this));
        domain = value(ops.domain_alloc_paging(device, faults));
        value(group.attach(*domain, test::no_faults()));
    }
    ~Bus() {
        group.detach(*domain);
        owned.release();
        domain.reset();
    }

    Machine machine;
    FaultPoints faults;
    IotlbControl control;
    IntelOps ops{machine.memory()};
    IommuDevice instance;
    Device device{"0000:00:02.0", ops, instance};
    Group group{1};
    DmaOwnership owned;
    std::unique_ptr<Domain> domain;
    FaultLog log;
    DmaPort port{"0000:00:02.0", &group, machine.memory(), log};
};

// Pages whose unmap has returned are cleared and looked at again, while a device writes.
template <class Map, class Unmap>
int written_after_unmap(Bus& bus, Map&& map, Unmap&& unmap) {
    mm::PhysicalMemory& memory = bus.machine.memory();
    std::atomic<bool> ends{false};
    std::thread device([&] {
        std::array<std::byte, 4096> bytes;
        bytes.fill(std::byte{0xaa});
        while (!ends.load(std::memory_order_relaxed)) {
            [[maybe_unused]] const auto written = bus.port.write(kIova, bytes);
        }
    });
    int late = 0;
    for (int turn = 0; turn < kTurns; ++turn) {
        const PhysAddr page = value(memory.allocate_frames(0));
        map(page);
        unmap();
        std::memset(memory.at(page), 0, mm::kFrameSize);
        for (std::uint64_t at = 0; at < mm::kFrameSize; ++at) {
            late += *memory.at(page + at) != std::byte{0};
        }
        memory.free_frames(page, 0);
    }
    ends = true;
    device.join();
    return late;
}

TEST_CASE("once a strict unmap has returned, no access of a device reaches the page") {
    Bus bus;
    CHECK(written_after_unmap(
              bus,
              [&](PhysAddr page) {
                  value(iommu::map(*bus.domain, kIova, page, 4096, kRead | kWrite, bus.faults));
              },
              [&] { CHECK(iommu::unmap(*bus.domain, kIova, 4096, test::no_faults()) == 4096); }) ==
          0);
}

TEST_CASE("once a group has left a domain, no access of its devices reaches what is mapped there") {
    Bus bus;
    CHECK(written_after_unmap(
              bus,
              [&](PhysAddr page) {
                  iommu::unmap(*bus.domain, kIova, 4096, test::no_faults());
                  value(iommu::map(*bus.domain, kIova, page, 4096, kRead | kWrite, bus.faults));
              },
              [&] {
                  bus.group.detach(*bus.domain);
                  iommu::unmap(*bus.domain, kIova, 4096, test::no_faults());
                  value(bus.group.attach(*bus.domain, test::no_faults()));
              }) == 0);
}

TEST_CASE("a write by a stale translation to a page that is free is lost") {
    Bus bus(false);
    mm::PhysicalMemory& memory = bus.machine.memory();
    const mm::SlotRun run = value(memory.allocate(1, 1));
    const PhysAddr page = memory.physical(run).address;
    value(iommu::map(*bus.domain, kIova, page, 4096, kRead | kWrite, bus.faults));
    const std::array<std::byte, 4> bytes{std::byte{1}};
    value(bus.port.write(kIova, bytes));
    CHECK(iommu::unmap(*bus.domain, kIova, 4096, test::no_faults()) == 4096);
    value(bus.port.write(kIova, std::array<std::byte, 4>{std::byte{2}}));
    CHECK(*memory.at(page) == std::byte{2});  // stale, and somebody holds the page
    memory.put(run);
    value(bus.port.write(kIova, bytes));
    CHECK(*memory.at(page) == std::byte{0});
    CHECK(bus.control.figures().stale_uses == 2);
}

}  // namespace
}  // namespace kvmiommu::iommu
