// SPDX-License-Identifier: MIT
//
// Hypercalls for a linked bus, as they were proposed in 2013: who answers, and what is held.

#include <map>

#include "spapr/spapr.h"
#include "support.h"

namespace kvmiommu::spapr {
namespace {

using test::Machine;
using test::Process;
using test::value;
using uapi::H_HARDWARE;
using uapi::H_PARAMETER;
using uapi::H_RESCINDED;
using uapi::H_SUCCESS;
using uapi::H_TOO_HARD;

constexpr std::uint64_t k64K = 64 << 10;
constexpr std::uint64_t kLiobn = 5;
constexpr Windows kBridge{.dma32_start = 0,
                          .dma32_size = std::uint64_t{1} << 30,
                          .page_sizes = 0x11000,
                          .most = kMostWindows,
                          .levels = 1};

/// A guest whose memory is a process's from one address on, and a bus that is linked to a group.
struct Guest : GuestMemory {
    Guest()
        : machine({.page_size = k64K, .arch = fs::Arch::ppc64le}),
          process(machine),
          ram(process.map(4 * k64K)),
          windows(machine.census(), machine.memory(), k64K, kBridge),
          table(value(windows.create_table(0, 12, kBridge.dma32_size, 1, faults))),
          linked{kLiobn, std::uint32_t{1} << 30, group} {
        group.set_iommudata(windows);
        value(windows.set_window(0, table));
        value(tables.add(linked));
    }
    ~Guest() override {
        windows.unset_window(0);
        table = nullptr;
    }

    std::optional<std::uint64_t> user_address(std::uint64_t guest) const override {
        return guest < 4 * k64K ? std::optional(ram + guest) : std::nullopt;
    }
    y2013::Machine as(bool real_mode, bool forgets = false) {
        return {tables, *this, *process.mm, faults, real_mode, forgets, false};
    }

    Machine machine;
    Process process;
    FaultPoints faults;
    std::uint64_t ram;
    iommu::Group group{1};
    PowernvTableGroup windows;
    Ref<HardwareTable> table;
    LinkedTable linked;
    GuestTables tables;
};

bool answered(const HypercallOutcome& outcome, std::int64_t r3, HypercallLevel level) {
    return outcome.r3 == r3 && outcome.level == level;
}

constexpr auto kReal = HypercallLevel::real_mode;
constexpr auto kVirtual = HypercallLevel::virtual_mode;
constexpr auto kUser = HypercallLevel::user;

TEST_CASE(
    "real mode answers, virtual mode where it cannot, user space where nobody knows the bus") {
    Guest guest;
    CHECK(answered(h_put_tce(guest.as(true), kLiobn, 0x1000, 0x10003), H_SUCCESS, kReal));
    CHECK(answered(h_put_tce(guest.as(false), kLiobn, 0x2000, 0x10003), H_SUCCESS, kVirtual));
    CHECK(answered(h_put_tce(guest.as(true), kLiobn, 0x1000, 0x20003), H_HARDWARE, kVirtual));
    CHECK(answered(h_put_tce(guest.as(true), 6, 0x1000, 0x20003), H_TOO_HARD, kUser));
    CHECK(answered(h_put_tce(guest.as(true), kLiobn, 0x3000, 0x90003), H_HARDWARE, kVirtual));
    CHECK(answered(h_put_tce(guest.as(true, true), kLiobn, 0x3000, 0x90003), H_SUCCESS, kReal));
    CHECK(guest.table->get(3).entry() == 0);
    CHECK(guest.machine.memory().total_pins() == 2 * k64K / mm::kFrameSize);
    CHECK(answered(h_stuff_tce(guest.as(true), kLiobn, 0, 0, 8), H_SUCCESS, kReal));
    CHECK(guest.machine.memory().total_pins() == 0);
}

TEST_CASE("a group that has lost its table says so") {
    Guest guest;
    const auto all = [&](bool real_mode) {
        const auto machine = guest.as(real_mode);
        const auto level = real_mode ? kReal : kVirtual;
        CHECK(answered(h_put_tce(machine, kLiobn, 0x1000, 0x10003), H_RESCINDED, level));
        CHECK(answered(h_put_tce(machine, kLiobn, 0x1001, 0), H_RESCINDED, level));
        CHECK(answered(h_stuff_tce(machine, kLiobn, 0, 1, 8), H_RESCINDED, level));
        CHECK(answered(h_put_tce_indirect(machine, kLiobn, 0, 0, 1), H_RESCINDED, level));
        // What the list is like is looked at before.
        CHECK(answered(h_put_tce_indirect(machine, kLiobn, 0, 0, 513), H_PARAMETER, level));
    };
    guest.table->retire();
    all(true);
    all(false);
    guest.windows.unset_window(0);
    all(true);
    CHECK(table_states(guest.tables)[0].size == 0);
}

TEST_CASE("virtual mode takes no page twice, and gives all back when it fails") {
    Guest guest;
    for (std::uint64_t at = 0; at < 4; ++at) {
        guest.process.store(guest.ram + at * 8, std::byteswap(at % 3 * k64K | 3));
    }
    const std::uint64_t frames = k64K / mm::kFrameSize;
    for (std::uint32_t nth = 0; nth <= 5; ++nth) {
        CAPTURE(nth);
        guest.faults.fail_nth(nth);
        const auto outcome = h_put_tce_indirect(guest.as(true), kLiobn, 0x4000, 0, 4);
        CHECK(outcome.r3 == H_SUCCESS);
        CHECK((outcome.level == kReal) == (nth == 0));
        CHECK(guest.machine.memory().total_pins() == 4 * frames);
        // The same again meets what is there.
        CHECK(h_put_tce_indirect(guest.as(true), kLiobn, 0x3000, 0, 4).r3 == H_HARDWARE);
        CHECK(guest.table->get(3).entry() == 0);
        CHECK(guest.machine.memory().total_pins() == 4 * frames);
        CHECK(h_stuff_tce(guest.as(true), kLiobn, 0x4000, 0, 4).r3 == H_SUCCESS);
        CHECK(guest.machine.memory().total_pins() == 0);
    }
}

}  // namespace
}  // namespace kvmiommu::spapr
