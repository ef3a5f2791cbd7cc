// SPDX-License-Identifier: MIT
//
// Windows of TCEs, what they are charged as, and registered memory.

#include <map>

#include "spapr/spapr.h"
#include "support.h"

namespace kvmiommu::spapr {
namespace {

using test::Machine;
using test::outcome;
using test::Process;
using test::value;

constexpr std::uint64_t k64K = 64 << 10;
constexpr std::uint64_t k256M = 256 << 20;
constexpr std::uint64_t kBoth = uapi::TCE_PCI_READ | uapi::TCE_PCI_WRITE;

constexpr Windows kBridge{.dma32_start = 0,
                          .dma32_size = std::uint64_t{2} << 30,
                          .page_sizes = 0x40211000,
                          .most = kMostWindows,
                          .levels = 5};

TEST_CASE("a table is charged as the kernel charges it") {
    Machine machine({.page_size = k64K, .arch = fs::Arch::ppc64le});
    const PowernvTableGroup powernv(machine.census(), machine.memory(), k64K, kBridge);
    const PseriesTableGroup pseries(machine.census(), machine.memory(), k64K, kBridge);
    // The TCEs and as much again; a level has a page at least.
    CHECK(powernv.table_size(12, std::uint64_t{2} << 30, 1) == 8 << 20);
    CHECK(powernv.table_size(16, k256M, 1) == 2 * k64K);
    CHECK(powernv.table_size(16, k256M, 5) == 2 * 5 * k64K);
    CHECK(powernv.table_size(30, k256M, 1) == 2 * k64K);  // smaller than a page: it wraps
    CHECK(powernv.table_size(16, k256M, 0) == 0);
    CHECK(powernv.table_size(16, k256M, 6) == 0);
    CHECK(powernv.table_size(16, k256M + 1, 1) == 0);
    CHECK(powernv.table_size(30, 1 << 20, 1) == 0);
    CHECK(pseries.table_size(12, std::uint64_t{1} << 30, 1) == 2 << 20);
    CHECK(pseries.table_size(16, k256M, 2) == 0xffffffff);
}

TEST_CASE("levels are made as they are needed, and entries are big-endian") {
    Machine machine({.page_size = k64K, .arch = fs::Arch::ppc64le});
    FaultPoints faults;
    PowernvTableGroup group(machine.census(), machine.memory(), k64K, kBridge);
    const auto table = value(group.create_table(1, 16, std::uint64_t{1} << 40, 2, faults));
    CHECK(table->start() == std::uint64_t{1} << 59);
    const std::uint64_t first = table->offset();
    const std::uint64_t before = machine.memory().used_frames();
    CHECK(table->pages_without_table(first) == std::uint64_t{1} << 13);
    // Nothing needs no table.
    CHECK(value(table->exchange(first + 5, {}, faults)).entry() == 0);
    CHECK(machine.memory().used_frames() == before);
    CHECK(value(table->exchange(first + 5, {0x120000, uapi::TCE_PCI_WRITE}, faults)).rights == 0);
    CHECK(machine.memory().used_frames() == before + k64K / mm::kFrameSize);
    CHECK(table->get(first + 5).entry() == (0x120000 | kBoth));
    CHECK(table->pages_without_table(first) == 0);
    CHECK(table->translate(table->start() + 5 * k64K + 7)->address == 0x120007);
    CHECK_FALSE(table->translate(table->start() + 6 * k64K));
    CHECK_FALSE(table->translate(0));
    CHECK(value(table->exchange(first + 5, {}, faults)).address == 0x120000);
    CHECK(outcome(table->exchange(first - 1, {0, kBoth}, faults)) == "EINVAL");
    table->retire();
    CHECK(outcome(table->exchange(first + 5, {0, kBoth}, faults)) == "EINVAL");
}

TEST_CASE("no memory for a level leaves the table as it was") {
    Machine machine({.page_size = k64K, .arch = fs::Arch::ppc64le});
    FaultPoints faults;
    PowernvTableGroup group(machine.census(), machine.memory(), k64K, kBridge);
    for (std::uint32_t nth = 1; nth <= 2; ++nth) {
        faults.fail_nth(nth);
        CHECK(outcome(group.create_table(0, 16, k256M, 2, faults)) == "ENOMEM");
        CHECK(machine.memory().used_frames() == 0);
    }
    const auto table = value(group.create_table(0, 16, k256M, 2, faults));
    faults.fail_nth(1);
    CHECK(outcome(table->exchange(9, {0x10000, kBoth}, faults)) == "ENOMEM");
    CHECK(table->get(9).entry() == 0);
    faults.fail_nth(1);
    CHECK_FALSE(table->make_user_address(9, faults));
    CHECK(table->make_user_address(9, faults));
    // More than the kernel allocates at once, and more than the bridge reaches.
    CHECK(outcome(group.create_table(0, 12, std::uint64_t{1} << 40, 1, faults)) == "ENOMEM");
    CHECK(outcome(group.create_table(0, 12, std::uint64_t{1} << 63, 5, faults)) == "EINVAL");
}

// Whose tables they are that a test makes.
class Owner final : public GuestTableOwner {
  public:
    Owner(Machine& machine, mm::AddressSpace& mm)
        : GuestTableOwner(machine.census(), "owner of a test"), mm_(mm) {}
    void forget(GuestTable&) override {}
    mm::AddressSpace& mm() override { return mm_; }

  private:
    mm::AddressSpace& mm_;
};

TEST_CASE("a guest's table whose size wraps as bytes is refused, and nothing is charged for it") {
    Machine machine({.page_size = k64K, .arch = fs::Arch::ppc64le});
    Process process(machine);
    const Ref<GuestTableOwner> owner = make<Owner>(machine, *process.mm);
    const auto create = [&](std::uint64_t offset, std::uint64_t size) {
        return GuestTable::create(process.task, owner,
                                  {.liobn = 1, .page_shift = 12, .offset = offset, .size = size});
    };
    constexpr std::uint64_t k2p61 = std::uint64_t{1} << 61;
    CHECK(outcome(create(0, 0)) == "EINVAL");
    CHECK(outcome(create(0, k2p61 + 1)) == "EINVAL");  // past the end of the address space
    // The end of the window wraps, and so would eight bytes for each page.
    for (const std::uint64_t size : {k2p61 + 1, k2p61 + 8192, k2p61, 2 * k2p61 + 1, 7 * k2p61 + 5,
                                     k2p61 / 2 + 1, k2p61 / 2, ~std::uint64_t{0}}) {
        CAPTURE(size);
        CHECK(outcome(create(-size, size)) == "ENOMEM");
        CHECK(process.mm->locked_vm().pages() == 0);
    }
    const auto table = value(create(~std::uint64_t{0}, 5));
    CHECK(table->entries() == k64K / 8);
    table->fill(4, ~std::uint64_t{0}, 0x123);
    CHECK(table->get(table->entries() - 1) == 0x123);
}

TEST_CASE("one value in a great many entries is kept once, until another comes between") {
    Machine machine;
    Process process(machine);
    const Ref<GuestTableOwner> owner = make<Owner>(machine, *process.mm);
    constexpr std::uint64_t kMany = std::uint64_t{1} << 29;
    const auto table = value(GuestTable::create(
        process.task, owner, {.liobn = 1, .page_shift = 12, .offset = 0, .size = kMany}));
    const std::uint64_t before = machine.memory().used_frames();
    table->fill(0, kMany, 0xabc0);
    CHECK(machine.memory().used_frames() == before);
    CHECK(table->get(0) == 0xabc0);
    CHECK(table->get(kMany - 1) == 0xabc0);
    CHECK(table->entries_without_page(5) == 0);
    table->put(5, 3);
    CHECK(machine.memory().used_frames() == before + 1);
    // 512 entries a page: in front of a border, over one, a whole page between two parts.
    std::map<std::uint64_t, std::uint64_t> expected{{5, 3}};
    const auto fill = [&](std::uint64_t from, std::uint64_t count, std::uint64_t tce) {
        table->fill(from, count, tce);
        for (std::uint64_t at = from; at < from + count; ++at) {
            expected[at] = tce;
        }
    };
    fill(510, 1, 0x1000);
    fill(1000, 100, 0x2000);
    fill(2000, 1200, 0x3000);
    fill(2048, 512, 0);
    fill(4096, 1024, 0x4000);
    fill(4608, 512, 0x5000);
    std::uint64_t wrong = 0;
    for (std::uint64_t at = 0; at < 6000; ++at) {
        const auto found = expected.find(at);
        wrong += table->get(at) != (found == expected.end() ? 0xabc0 : found->second);
    }
    CHECK(wrong == 0);
    table->fill(kMany - 10, 100, 0);  // no further than the table
    CHECK(table->get(kMany - 11) == 0xabc0);
    CHECK(table->get(kMany - 1) == 0);
    table->fill(0, kMany, 0);
    for (const auto& [at, tce] : expected) {
        wrong += table->get(at) != 0;
    }
    CHECK(wrong == 0);
    CHECK(table->entries_without_page(1 << 20) == 512);
}

TEST_CASE("a region is pinned as long as it is registered or mapped from") {
    Machine machine({.page_size = k64K, .arch = fs::Arch::ppc64le});
    Process process(machine);
    RegisteredMemory& memory = RegisteredMemory::of(*process.mm);
    CHECK(&memory == &RegisteredMemory::of(*process.mm));
    const std::uint64_t address = process.map(4 * k64K);
    CHECK(outcome(memory.create(process.task, address, 0)) == "ENOMEM");
    CHECK(outcome(memory.create(process.task, 0x10000, k64K)) == "EFAULT");
    {
        const auto region = value(memory.create(process.task, address, 2 * k64K));
        CHECK(outcome(memory.create(process.task, address + k64K, k64K)) == "EINVAL");
        CHECK(process.mm->locked_vm().pages() == 2);
        CHECK(memory.get(address, 2 * k64K) == region);
        CHECK_FALSE(memory.get(address, k64K));
        CHECK_FALSE(memory.find(address + k64K, 2 * k64K));
        CHECK(memory.find(address + k64K, k64K) == region);
        CHECK(outcome(region->translate(address, 21)) == "EFAULT");
        CHECK(region->map());
        CHECK(outcome(memory.put(*process.mm, region)) == "ok");
        CHECK(outcome(memory.put(*process.mm, region)) == "EBUSY");
        region->unmap();
        region->unmap();  // never below what registering it gave
        CHECK(outcome(memory.put(*process.mm, region)) == "ok");
        CHECK_FALSE(region->map());
        CHECK(outcome(memory.put(*process.mm, region)) == "ENOENT");
    }
    CHECK(process.mm->locked_vm().pages() == 0);
    CHECK(machine.memory().total_pins() == 0);
}

}  // namespace
}  // namespace kvmiommu::spapr
