// SPDX-License-Identifier: MIT

#include "guests/board.h"

namespace kvmiommu::guests {

namespace {

constexpr std::uint64_t k4K = 4 << 10;
constexpr std::uint64_t k16K = 16 << 10;
constexpr std::uint64_t k64K = 64 << 10;
constexpr std::uint64_t k2M = 2 << 20;
constexpr std::uint64_t k16M = 16 << 20;
constexpr std::uint64_t k32M = 32 << 20;
constexpr std::uint64_t k512M = 512 << 20;
constexpr std::uint64_t k1G = 1 << 30;
constexpr std::uint64_t kMemory = 64 << 20;
// A POWER bridge's default window: whenever a group leaves, all of its entries are looked at.
constexpr std::uint64_t kWindow = 4 << 20;

constexpr const char* kEmulated = "83b8f4f2-509f-382f-3c1e-e6bfe0fa1001";
constexpr std::uint32_t kEmulatedGroup = 40;

const std::vector<iommu::ReservedRegion> kInterrupts{
    {{0xfee00000, 0xfeefffff}, iommu::ReservedType::msi}};

void add(Board& board, const char* address, const char* model, const char* iommu,
         std::uint32_t group) {
    board.description.pci.push_back({.address = address,
                                     .model = model,
                                     .driver = "vfio-pci",
                                     .iommu = iommu,
                                     .group = group,
                                     .bars = {},
                                     .interrupt_line = {},
                                     .hardware = {}});
    board.devices.push_back({address, group});
}

Board x86(const char* name) {
    Board board;
    board.description.name = name;
    board.description.memory = kMemory;
    board.description.emulated.push_back({kEmulated, kEmulatedGroup});
    return board;
}

void add_emulated(Board& board) {
    board.devices.push_back({kEmulated, kEmulatedGroup});
    board.groups.push_back(kEmulatedGroup);
}

iommu::IommuDevice unit(const char* name, unsigned width, std::uint64_t sizes, bool coherent) {
    return {.name = name,
            .address_width = width,
            .page_sizes = sizes,
            .enforces_cache_coherency = coherent,
            .isolated_msi = true,
            .reserved = kInterrupts};
}

// Two units of one kind; only the first makes large pages and enforces coherency.
Board intel() {
    Board board = x86("intel");
    board.description.iommus = {{"intel", unit("dmar0", 48, k4K | k2M | k1G, true)},
                                {"intel", unit("dmar1", 39, k4K, false)}};
    add(board, "0000:00:02.0", "edu", "dmar0", 1);
    add(board, "0000:02:01.0", "edu", "dmar1", 3);
    add(board, "0000:02:02.0", "pci-testdev", "dmar1", 3);
    add(board, "0000:01:00.0", "e1000e", "dmar0", 8);
    board.groups = {1, 3, 8};
    add_emulated(board);
    return board;
}

// Two kinds with other pages in one container, page by page.
Board unlike() {
    Board board = x86("unlike");
    board.description.iommus = {{"intel", unit("dmar0", 48, k4K | k2M | k1G, true)},
                                {"amd", unit("ivhd0", 64, k64K | 2 * k64K | k2M | k16M, true)}};
    board.description.iommu_strict = false;
    add(board, "0000:00:02.0", "edu", "ivhd0", 1);
    add(board, "0000:02:01.0", "edu", "dmar0", 3);
    add(board, "0000:01:00.0", "e1000e", "ivhd0", 8);
    board.groups = {1, 3, 8};
    add_emulated(board);
    return board;
}

// Pages of 64 KiB, and two SMMUs: one has both kinds of large page and marks what is written to,
// the other one makes a table of smaller pages than the kernel's.
Board arm() {
    Board board = x86("arm");
    machine::Description& machine = board.description;
    machine.arch = fs::Arch::aarch64;
    machine.page_size = k64K;
    machine.memory_start = k1G;
    const std::vector<iommu::ReservedRegion> doorbell{
        {{0x8000000, 0x80fffff}, iommu::ReservedType::sw_msi}};
    machine.iommus = {
        {"smmu_v3",
         {.name = "smmu0",
          .address_width = 48,
          .page_sizes = k4K | k16K | k64K | k2M | k32M | k512M | k1G,
          .isolated_msi = true,
          .dirty_tracking = true,
          .reserved = doorbell}},
        {"smmu_v3",
         {.name = "smmu1",
          .address_width = 40,
          .page_sizes = k64K | k512M,
          .isolated_msi = true,
          .stage = 2,
          .reserved = doorbell}},
    };
    add(board, "0000:00:02.0", "edu", "smmu0", 1);
    add(board, "0000:00:03.0", "e1000e", "smmu1", 2);
    add(board, "0000:00:04.0", "edu", "smmu1", 3);
    board.groups = {1, 2, 3};
    add_emulated(board);
    return board;
}

// What isolates no interrupts and enforces no coherency, each with a table of its own in one
// domain, and a device behind nothing.
Board virt() {
    Board board = x86("virt");
    machine::Description& machine = board.description;
    machine.arch = fs::Arch::riscv64;
    machine.rules = {iommu::Semantics::tables, iommu::AttachAfterMap::second_table};
    machine.vfio.allow_unsafe_interrupts = true;
    machine.vfio.enable_unsafe_noiommu_mode = true;
    machine.vfio.dma_entry_limit = 64;
    machine.iommus = {
        {"riscv",
         {.name = "riscv0", .address_width = 48, .page_sizes = k4K | k2M | k1G, .reserved = {}}},
        {"virtio",
         {.name = "viommu0",
          .address_width = 64,
          .page_sizes = ~std::uint64_t{0} << 12,
          .reserved = kInterrupts}}};
    add(board, "0000:00:02.0", "edu", "riscv0", 1);
    add(board, "0000:00:03.0", "pci-testdev", "viommu0", 2);
    add(board, "0000:00:04.0", "edu", "viommu0", 2);
    add(board, "0000:01:00.0", "e1000e", "", 0);
    board.groups = {1, 2, 0};
    board.description.pci.back().group.reset();
    board.noiommu_group = 0;
    add_emulated(board);
    return board;
}

// One table for the IOMMUs of a kind, made anew when one with smaller pages is added.
Board shared() {
    Board board = x86("shared");
    board.description.rules = {iommu::Semantics::common, iommu::AttachAfterMap::rebuild};
    board.description.vfio.disable_hugepages = true;
    board.description.iommus = {{"intel", unit("dmar0", 48, k4K | k2M | k1G, true)},
                                {"intel", unit("dmar1", 39, k4K, false)},
                                {"amd", unit("ivhd0", 64, k4K | k64K | k2M, true)}};
    add(board, "0000:00:02.0", "edu", "dmar0", 1);
    add(board, "0000:02:01.0", "edu", "dmar1", 3);
    add(board, "0000:01:00.0", "e1000e", "ivhd0", 8);
    board.groups = {1, 3, 8};
    add_emulated(board);
    return board;
}

Board power(const char* name, const char* driver, iommu::IommuDevice bridge) {
    Board board;
    board.power = true;
    machine::Description& machine = board.description;
    machine.name = name;
    machine.memory = kMemory;
    machine.arch = fs::Arch::ppc64le;
    machine.page_size = k64K;
    machine.iommus = {{driver, std::move(bridge)}};
    add(board, "0001:00:01.0", "edu", "phb", 1);
    add(board, "0002:00:01.0", "nec-usb-xhci", "phb", 2);
    add(board, "0002:00:02.0", "edu", "phb", 2);
    add(board, "0003:00:01.0", "e1000e", "phb", 3);
    board.groups = {1, 2, 3};
    return board;
}

Board powernv(const char* name) {
    return power(name, "powernv",
                 {.name = "phb",
                  .address_width = 64,
                  .page_sizes = k4K | k64K | k2M | k1G,
                  .window_size = kWindow,
                  .table_levels = 5,
                  .eeh = true,
                  .reserved = {}});
}

Board mended() {
    Board board = powernv("power");
    for (const fs::KernelBug bug :
         {fs::KernelBug::spapr_check_answers_one, fs::KernelBug::spapr_unregister_while_mapped,
          fs::KernelBug::spapr_failed_window_stays_charged,
          fs::KernelBug::spapr_removed_window_stays_attached,
          fs::KernelBug::spapr_indirect_maps_without_rights,
          fs::KernelBug::spapr_only_first_page_checked}) {
        board.description.fixed.add(bug);
    }
    return board;
}

Board guest_of_a_hypervisor() {
    Board board = power("power-guest", "pseries",
                        {.name = "phb",
                         .address_width = 64,
                         .page_sizes = k4K | k64K | k2M | k16M,
                         .window_size = kWindow,
                         .reserved = {}});
    board.description.page_size = k4K;
    board.forgets_charges = true;
    return board;
}

Board power_2013() {
    Board board = powernv("power-2013");
    board.description.proposals.add(fs::Proposal::spapr_tce_iommu_ioctl);
    board.description.proposals.add(fs::Proposal::spapr_tce_iommu_links);
    board.forgets_charges = true;
    return board;
}

}  // namespace

std::span<const Board> boards() {
    static const std::vector<Board> all{intel(),      unlike(), mended(), guest_of_a_hypervisor(),
                                        power_2013(), arm(),    virt(),   shared()};
    return all;
}

}  // namespace kvmiommu::guests
