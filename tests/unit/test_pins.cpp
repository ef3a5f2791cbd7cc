// SPDX-License-Identifier: MIT

#include "mm/pins.h"

#include <map>
#include <utility>
#include <vector>

#include "support.h"

namespace kvmiommu::mm {
namespace {

using test::Machine;
using test::MachineSettings;
using test::Numbers;
using test::outcome;
using test::Process;
using test::value;

constexpr std::uint64_t kPage = 4096;

TEST_CASE("a charge is uncharged when it goes") {
    LockedMemory account;
    {
        Charge charge(account);
        CHECK(outcome(charge.add(3, 4, false)) == "ok");
        CHECK(outcome(charge.add(2, 4, false)) == "ENOMEM");
        CHECK(account.pages() == 3);
        Charge moved(std::move(charge));
        CHECK(moved.pages() == 3);
        CHECK(account.pages() == 3);
    }
    CHECK(account.pages() == 0);
}

TEST_CASE("no pages can be charged whatever the limit is") {
    LockedMemory account;
    Charge charge(account);
    charge.recount(2);
    CHECK(outcome(charge.add(0, 1, false)) == "ok");
    CHECK(account.pages() == 2);
}

TEST_CASE("a part of a charge goes its own way, to the same account") {
    LockedMemory account;
    Charge whole(account);
    whole.recount(5);
    {
        const Charge part = whole.split(2);
        CHECK(part.pages() == 2);
        CHECK(whole.pages() == 3);
        CHECK(account.pages() == 5);
    }
    CHECK(account.pages() == 3);
}

TEST_CASE("a charge that takes another's place uncharges its own first") {
    LockedMemory account;
    LockedMemory other;
    Charge charge(account);
    charge.recount(4);
    Charge taken(other);
    taken.recount(1);
    charge = std::move(taken);
    CHECK(account.pages() == 0);
    CHECK(other.pages() == 1);
}

TEST_CASE("a pin ends with its object, wherever that was moved") {
    Machine machine;
    Process process(machine);
    const std::uint64_t at = process.map(2 * kPage);
    {
        Pin pin = value(Pin::of(*process.mm, at, 2 * kPage, Access::write));
        const Pin moved(std::move(pin));
        CHECK(moved.bytes() == 2 * kPage);
        CHECK(machine.memory().total_pins() == 2);
        CHECK(outcome(Pin::of(*process.mm, 0x1000, kPage, Access::read)) == "EFAULT");
    }
    CHECK(machine.memory().total_pins() == 0);
}

TEST_CASE("a contiguous gigabyte is one run") {
    constexpr std::uint64_t kSize = std::uint64_t{1} << 30;
    Machine machine({.ram = 2 * kSize});
    Process process(machine);
    const std::uint64_t at = process.map(kSize);
    LockedMemory account;
    Pins pins(account);
    value(pins.extend(0, value(Pin::of(*process.mm, at, kSize, Access::write)), kSize / kPage,
                      ~std::uint64_t{0}, false));
    CHECK(pins.runs() == 1);
    CHECK(account.pages() == kSize / kPage);
    CHECK(*pins.find(kSize - 1) == *pins.find(0) + kSize - 1);
    CHECK_FALSE(pins.find(kSize));
}

TEST_CASE("a pin that cannot be charged is gone, and those before it stay") {
    Machine machine;
    Process process(machine);
    const std::uint64_t at = process.map(2 * kPage);
    LockedMemory account;
    Pins pins(account);
    value(pins.extend(0, value(Pin::of(*process.mm, at, kPage, Access::write)), 1, 1, false));
    Pin second = value(Pin::of(*process.mm, at + kPage, kPage, Access::write));
    CHECK(outcome(pins.extend(kPage, std::move(second), 1, 1, false)) == "ENOMEM");
    CHECK(machine.memory().total_pins() == 1);
    CHECK(account.pages() == 1);
}

TEST_CASE("pins that take the place of others drop those first") {
    Machine machine;
    Process process(machine);
    const std::uint64_t at = process.map(2 * kPage);
    LockedMemory account;
    Pins pins(account);
    pins.extend(0, value(Pin::of(*process.mm, at, kPage, Access::write)));
    Pins others(account);
    value(others.extend(0, value(Pin::of(*process.mm, at, 2 * kPage, Access::write)), 2, 2, false));
    pins = std::move(others);
    CHECK(others.empty());
    CHECK(machine.memory().total_pins() == 2);
    CHECK(account.pages() == 2);
    pins.clear();
    CHECK(machine.memory().total_pins() == 0);
    CHECK(account.pages() == 0);
}

// Random drops, compared with a map of pages.
TEST_CASE("what is not dropped stays where it is") {
    Machine machine({.fragment = 4 * kPage});
    Process process(machine);
    constexpr std::uint64_t kPages = 64;
    const std::uint64_t at = process.map(kPages * kPage);
    Numbers numbers(7);
    for (int program = 0; program < 50; ++program) {
        Pins pins;
        std::map<std::uint64_t, PhysAddr> model;
        for (std::uint64_t done = 0; done < kPages * kPage;) {
            const PinnedRun run = pins.extend(
                done, value(Pin::of(*process.mm, at + done, kPages * kPage - done, Access::write)));
            for (std::uint64_t page = 0; page < run.bytes(); page += kPage) {
                model[done + page] = run.address() + page;
            }
            done += run.bytes();
        }
        CHECK(pins.runs() >= kPages / 4);
        for (int step = 0; step < 12; ++step) {
            const std::uint64_t first = numbers.below(kPages);
            const std::uint64_t count = 1 + numbers.below(kPages / 4);
            const Range range{first * kPage, (first + count) * kPage - 1};
            std::uint64_t expected = 0;
            for (std::uint64_t page = first; page < first + count; ++page) {
                expected += model.erase(page * kPage) * kPage;
            }
            CHECK(pins.drop(range) == expected);
            CHECK(machine.memory().total_pins() == model.size());
            for (std::uint64_t page = 0; page < kPages; ++page) {
                const auto known = model.find(page * kPage);
                const auto found = pins.find(page * kPage + 5);
                REQUIRE(found.has_value() == (known != model.end()));
                if (found) {
                    CHECK(*found == known->second + 5);
                }
            }
            std::uint64_t bytes = 0;
            value(pins.each([&](std::uint64_t index, PinnedRun run) -> Result<> {
                CHECK(model.at(index) == run.address());
                bytes += run.bytes();
                return {};
            }));
            CHECK(bytes == model.size() * kPage);
        }
    }
    CHECK(machine.memory().total_pins() == 0);
}

}  // namespace
}  // namespace kvmiommu::mm
