// SPDX-License-Identifier: MIT

#include <array>
#include <cstring>

#include "iommu/drivers/intel.h"
#include "iommu/iommu.h"
#include "pci/models/edu.h"
#include "support.h"

namespace kvmiommu::iommu {
namespace {

using mm::Access;
using test::Machine;
using test::outcome;
using test::value;

constexpr std::uint64_t kIova = 0x100000;

// A device behind VT-d, its group owned and in a domain with one page of RAM, read and write.
struct Bus {
    Bus() {
        instance.page_sizes = 0x40201000;
        group.add_device(device);
        owned = value(DmaOwnership::of(group, this));
        domain = value(ops.domain_alloc_paging(device, faults));
        page = value(machine.memory().allocate_frames(0));
        map(kIova, kRead | kWrite);
        value(group.attach(*domain, test::no_faults()));
    }
    ~Bus() {
        group.detach(*domain);
        owned.release();
        domain.reset();
        machine.memory().free_frames(page, 0);
    }
    void map(std::uint64_t iova, std::uint32_t protection) {
        value(iommu::map(*domain, iova, page, 4096, protection, faults));
    }
    std::string read(std::uint64_t iova, std::size_t bytes) {
        std::vector<std::byte> to(bytes);
        return outcome(port.read(iova, to));
    }
    std::string write(std::uint64_t iova, std::size_t bytes) {
        const std::vector<std::byte> from(bytes, std::byte{7});
        return outcome(port.write(iova, from));
    }

    Machine machine;
    FaultPoints faults;
    IntelOps ops{machine.memory()};
    IommuDevice instance;
    Device device{"0000:00:02.0", ops, instance};
    Group group{1};
    DmaOwnership owned;
    std::unique_ptr<Domain> domain;
    PhysAddr page = 0;
    FaultLog log;
    DmaPort port{"0000:00:02.0", &group, machine.memory(), log};
};

TEST_CASE("a device reaches the memory behind an iova") {
    Bus bus;
    CHECK(bus.write(kIova + 0xff0, 16) == "ok");
    CHECK(*bus.machine.memory().at(bus.page + 0xfff) == std::byte{7});
    CHECK(bus.read(kIova, 4096) == "ok");
    CHECK(bus.log.faults().empty());
}

TEST_CASE("an access is refused at its first byte without a translation") {
    Bus bus;
    CHECK(bus.write(kIova + 0xff0, 32) == "EFAULT");
    const auto faults = bus.log.faults();
    REQUIRE(faults.size() == 1);
    CHECK(faults[0].device == "0000:00:02.0");
    CHECK(faults[0].iova == kIova + 0x1000);
    CHECK(faults[0].access == Access::write);
    CHECK(faults[0].cause == FaultCause::not_mapped);
    CHECK(*bus.machine.memory().at(bus.page + 0xfff) == std::byte{7});
}

TEST_CASE("rights are those of the mapping") {
    Bus bus;
    bus.map(kIova + 0x1000, kRead);
    bus.map(kIova + 0x2000, kWrite);
    CHECK(bus.read(kIova + 0x1000, 8) == "ok");
    CHECK(bus.write(kIova + 0x1000, 8) == "EFAULT");
    CHECK(bus.read(kIova + 0x2000, 8) == "EFAULT");
    CHECK(bus.log.faults()[1].cause == FaultCause::not_permitted);
}

TEST_CASE("nothing gets through a group that nobody attached") {
    Bus bus;
    bus.group.detach(*bus.domain);
    CHECK(bus.read(kIova, 8) == "EFAULT");
    CHECK(bus.log.faults()[0].cause == FaultCause::blocked);
    value(bus.group.attach(*bus.domain, test::no_faults()));
}

TEST_CASE("an address beyond the domain's, or of no memory") {
    Bus bus;
    CHECK(bus.read(std::uint64_t{1} << 48, 8) == "EFAULT");
    value(iommu::map(*bus.domain, 0x5000, 0x1000, 4096, kRead, bus.faults));
    CHECK(bus.read(0x5000, 8) == "EFAULT");
    CHECK(bus.log.faults()[1].cause == FaultCause::no_memory);
}

TEST_CASE("the log keeps the last faults and goes on counting") {
    FaultLog log;
    for (std::uint64_t i = 0; i <= FaultLog::kMostKept; ++i) {
        log.record("d", i, Access::read, FaultCause::blocked);
    }
    CHECK(log.faults().size() == FaultLog::kMostKept);
    CHECK(log.faults().front().sequence == 1);
}

}  // namespace
}  // namespace kvmiommu::iommu

namespace kvmiommu::pci {
namespace {

using test::Machine;

// edu without an IOMMU: what it puts on the bus is a physical address, of which it has 28 bits.
struct Board {
    Board() { test::value(edu.plug(port, machine.memory())); }
    std::uint64_t load(std::uint64_t offset) { return edu.read(0, offset, 4); }
    void store(std::uint64_t offset, std::uint64_t value) { edu.write(0, offset, 4, value); }

    Machine machine;
    iommu::FaultLog log;
    iommu::DmaPort port{"edu", nullptr, machine.memory(), log};
    Edu edu;
};

TEST_CASE("edu computes at once") {
    Board board;
    CHECK(board.load(0) == 0x010000ed);
    board.store(4, 0x0f0f0f0f);
    CHECK(board.load(4) == 0xf0f0f0f0);
    board.store(8, 12);
    CHECK(board.load(8) == 479001600);
    board.store(8, 0xffffffff);
    CHECK(board.load(8) == 0);
    CHECK(board.load(0x20) == 0);
    CHECK(board.edu.read(0, 0, 8) == ~std::uint64_t{0});
    CHECK(board.edu.read(0, 0, 2) == 0);
}

TEST_CASE("edu raises its line and lets it go when all causes are acknowledged") {
    Board board;
    board.store(0x60, 3);
    CHECK(board.edu.interrupts().intx_asserted());
    board.store(0x64, 1);
    CHECK(board.edu.interrupts().intx_asserted());
    board.store(0x64, 2);
    CHECK_FALSE(board.edu.interrupts().intx_asserted());
    board.store(0x20, 0x80);
    board.store(8, 1);
    CHECK(board.load(0x24) == 1);
}

TEST_CASE("edu does no DMA unless it is bus master, and none outside of its buffer") {
    Board board;
    board.store(0x88, Edu::kBufferStart);
    board.store(0x90, 8);
    board.store(0x98, 1);
    REQUIRE(board.log.faults().size() == 1);
    CHECK(board.log.faults()[0].cause == iommu::FaultCause::bus_master_off);
    board.edu.config().write(kCommand, 2, kCommandMaster);
    board.store(0x88, Edu::kBufferStart + Edu::kBufferBytes - 4);
    board.store(0x98, 1);
    CHECK(board.log.faults().size() == 1);
    CHECK(board.load(0x98) == 0);
}

TEST_CASE("a reset lets the line go and forgets") {
    Board board;
    board.store(4, 1);
    board.store(0x60, 1);
    board.edu.reset();
    CHECK_FALSE(board.edu.interrupts().intx_asserted());
    CHECK(board.load(4) == 0);
    CHECK(board.load(0x24) == 0);
}

// A BAR of two pages: registers, then memory.
class Mixed final : public DeviceModel {
  public:
    Mixed() : DeviceModel(kConfigBytes) { add_bar(0, {.bytes = 8192, .memory = {{4096, 8191}}}); }
    std::uint64_t read(unsigned, std::uint64_t offset, unsigned) override { return offset; }
    void write(unsigned, std::uint64_t, unsigned, std::uint64_t) override {}

  private:
    void reset_registers() override {}
};

TEST_CASE("pages of a region are memory or trapped") {
    Board board;
    Mixed mixed;
    test::value(mixed.plug(board.port, board.machine.memory()));
    CHECK(mixed.memory(0, 0, 8).empty());
    CHECK(mixed.memory(0, 4096, 4096).size() == 4096);
    CHECK(mixed.memory(0, 8190, 4).empty());
    CHECK(test::outcome(mixed.frames(0, 0, 4096, 4096)) == "EFAULT");
    CHECK(test::value(mixed.frames(0, 4096, 8192, 4096)).count() == 1);
    mixed.memory(0, 4096, 1)[0] = std::byte{5};
    mixed.reset();
    CHECK(mixed.memory(0, 4096, 1)[0] == std::byte{0});
}

TEST_CASE("a page of a region is memory only if all of it is") {
    const Bar bar{.bytes = 1 << 20, .memory = {{4096, 0x2ffff}, {0x40000, 0x40fff}}};
    CHECK(bar.is_memory(0x1000, 4096));
    CHECK_FALSE(bar.is_memory(0x1000, 65536));
    CHECK(bar.is_memory(0x10000, 65536));
    CHECK(bar.is_memory(0x2ffff, 65536));
    CHECK_FALSE(bar.is_memory(0x30000, 65536));
    CHECK(bar.is_memory(0x40fff, 4096));
    CHECK_FALSE(bar.is_memory(0x40000, 65536));
}

TEST_CASE("a device with more memory than the machine is ENOMEM, and leaves nothing") {
    Machine machine({.ram = 64 << 10});
    iommu::FaultLog log;
    iommu::DmaPort port{"large", nullptr, machine.memory(), log};
    class Large final : public DeviceModel {
      public:
        Large() : DeviceModel(kConfigBytes) {
            add_bar(0, {.bytes = 8192, .memory = {{4096, 8191}}});
            add_bar(1, {.bytes = 1 << 20, .memory = {{0, (1 << 20) - 1}}});
        }
        std::uint64_t read(unsigned, std::uint64_t offset, unsigned) override { return offset; }
        void write(unsigned, std::uint64_t, unsigned, std::uint64_t) override {}

      private:
        void reset_registers() override {}
    } large;
    CHECK(test::outcome(large.plug(port, machine.memory())) == "ENOMEM");
}

}  // namespace
}  // namespace kvmiommu::pci
