// SPDX-License-Identifier: MIT
//
// A group that goes from one domain to another: all its devices or none, and no access meanwhile
// that finds neither.

#include <algorithm>
#include <array>
#include <atomic>
#include <set>
#include <thread>
#include <vector>

#include "iommu/iommu.h"
#include "support.h"
#include "toy_iommu.h"

namespace kvmiommu::iommu {
namespace {

using test::Machine;
using test::outcome;
using test::ToyDomain;
using test::ToyOps;
using test::value;

constexpr std::uint64_t kPage = 4096;
constexpr std::uint64_t kIova = 0x100000;
constexpr int kTurns = 2000;

struct Bus {
    Bus() {
        ops.set_iotlb_control(control);
        for (Device* const device : {&one, &two, &three}) {
            group.add_device(*device);
            all.insert(device);
        }
        owned = value(DmaOwnership::of(group, this));
        page = value(machine.memory().allocate_frames(1));
        from.map_pages(kIova, page, kPage, 1, kRead | kWrite, faults);
        to.map_pages(kIova, page + kPage, kPage, 1, kRead | kWrite, faults);
        *machine.memory().at(page) = std::byte{1};
        *machine.memory().at(page + kPage) = std::byte{2};
        value(group.attach(from, test::no_faults()));
    }
    ~Bus() {
        group.detach(*group.domain());
        owned.release();
        machine.memory().free_frames(page, 1);
    }

    // Does the hardware walk the table of a domain for every device?
    bool all_in(const ToyDomain& domain) const {
        return std::all_of(all.begin(), all.end(), [&](const Device* device) {
            return ops.contexts.at(device) == &domain;
        });
    }
    // What a device reads: 1 in `from`, 2 in `to`, 0 for a fault.
    int read() {
        std::array<std::byte, 1> bytes{};
        return port.read(kIova, bytes) ? std::to_integer<int>(bytes[0]) : 0;
    }

    Machine machine;
    FaultPoints faults;
    IotlbControl control{true};
    ToyOps ops{kPage};
    const IommuDevice instance{.name = "toy0", .page_sizes = kPage, .reserved = {}};
    Device one{"0000:00:01.0", ops, instance};
    Device two{"0000:00:02.0", ops, instance};
    Device three{"0000:00:03.0", ops, instance};
    std::set<Device*> all;
    Group group{1};
    DmaOwnership owned;
    PhysAddr page = 0;
    ToyDomain from{ops, ops.contexts, kPage};
    ToyDomain to{ops, ops.contexts, kPage};
    FaultLog log;
    DmaPort port{"0000:00:02.0", &group, machine.memory(), log};
};

TEST_CASE("a group goes from one domain to another with all its devices, and back") {
    Bus bus;
    CHECK(bus.read() == 1);
    CHECK(outcome(bus.group.attach(bus.to, test::no_faults())) == "EBUSY");
    CHECK(outcome(bus.group.replace(bus.to, test::no_faults())) == "ok");
    CHECK(bus.group.domain() == &bus.to);
    CHECK(bus.to.devices == bus.all);
    CHECK(bus.from.devices.empty());
    CHECK(bus.all_in(bus.to));
    CHECK(bus.read() == 2);
    CHECK(outcome(bus.group.replace(bus.to, test::no_faults())) == "ok");  // nothing to do
    CHECK(bus.to.devices == bus.all);
    CHECK(outcome(bus.group.replace(bus.from, test::no_faults())) == "ok");
    CHECK(bus.read() == 1);
}

TEST_CASE("from the blocked domain a replace is an attach") {
    Bus bus;
    bus.group.detach(bus.from);
    CHECK(bus.ops.blocked().devices == bus.all);
    CHECK(bus.read() == 0);
    CHECK(outcome(bus.group.replace(bus.to, test::no_faults())) == "ok");
    CHECK(bus.ops.blocked().devices.empty());
    CHECK(bus.read() == 2);
}

TEST_CASE("a device that is refused keeps all devices where they were, with the driver's errno") {
    Bus bus;
    for (Device* const device : {&bus.one, &bus.two, &bus.three}) {
        for (const auto& [error, name] : {std::pair{EINVAL, "EINVAL"}, {ENOMEM, "ENOMEM"}}) {
            CAPTURE(device->name());
            bus.to.refused = device;
            bus.to.error = error;
            CHECK(outcome(bus.group.replace(bus.to, test::no_faults())) == name);
            CHECK(bus.group.domain() == &bus.from);
            CHECK(bus.from.devices == bus.all);
            CHECK(bus.to.devices.empty());
            CHECK(bus.all_in(bus.from));
            CHECK(bus.read() == 1);
        }
    }
    bus.to.refused = nullptr;
    CHECK(outcome(bus.group.replace(bus.to, test::no_faults())) == "ok");
    CHECK(bus.read() == 2);
}

TEST_CASE("no access meets a group between two domains, and none the old one afterwards") {
    Bus bus;
    std::atomic<bool> ends{false};
    int faults = 0;
    std::thread device([&] {
        while (!ends.load(std::memory_order_relaxed)) {
            faults += bus.read() == 0;
        }
    });
    int wrong = 0;
    for (int turn = 0; turn < kTurns; ++turn) {
        bus.to.refused = turn % 3 == 0 ? &bus.three : nullptr;
        const bool moved = bus.group.replace(bus.to, test::no_faults()).has_value();
        wrong += moved != (turn % 3 != 0);
        wrong += bus.read() != (moved ? 2 : 1);
        wrong += !bus.group.replace(bus.from, test::no_faults()).has_value();
        wrong += bus.read() != 1;
    }
    ends = true;
    device.join();
    CHECK(wrong == 0);
    CHECK(faults == 0);
}

}  // namespace
}  // namespace kvmiommu::iommu
