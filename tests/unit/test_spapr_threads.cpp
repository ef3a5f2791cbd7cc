// SPDX-License-Identifier: MIT
//
// Two vcpus, a container and a device at work in one window of TCEs.

#include <atomic>
#include <bit>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "guests/power_guest.h"
#include "spapr/spapr.h"
#include "support.h"

namespace kvmiommu::spapr {
namespace {

using guests::k64K;

constexpr std::uint64_t kBoth = uapi::TCE_PCI_READ | uapi::TCE_PCI_WRITE;
constexpr std::uint64_t kLiobn = guests::PowerGuest::kLiobn;
constexpr std::uint64_t kPages = 64;

struct Guest : guests::PowerGuest {
    explicit Guest(fs::Proposals proposals = {})
        : PowerGuest({.machine_memory = 256 << 20,
                      .ram = 1 << 20,
                      .pages = kPages,
                      .levels = 2,
                      .proposals = proposals}) {}
    ~Guest() {
        process().exit();
        CHECK(system().close() == std::vector<std::string>{});
        CHECK(system().kernel().memory().total_pins() == 0);
        CHECK(system().kernel().memory().used_frames() == 0);
    }
    void make(int vcpu_file, std::vector<kvm::Hypercall> calls) {
        vcpu(vcpu_file).queue(std::move(calls));
        while (run(vcpu_file)) {
        }
    }
};

void map_dma(Guest& guest, std::uint64_t block, std::uint64_t iova, std::uint64_t size) {
    guest.give(guest.container(), uapi::VFIO_IOMMU_MAP_DMA,
               uapi::vfio_iommu_type1_dma_map{
                   .argsz = sizeof(uapi::vfio_iommu_type1_dma_map),
                   .flags = uapi::VFIO_DMA_MAP_FLAG_READ | uapi::VFIO_DMA_MAP_FLAG_WRITE,
                   .vaddr = guest.ram(),
                   .iova = iova,
                   .size = size},
               block);
}

void unmap_dma(Guest& guest, std::uint64_t block, std::uint64_t iova, std::uint64_t size) {
    guest.give(guest.container(), uapi::VFIO_IOMMU_UNMAP_DMA,
               uapi::vfio_iommu_type1_dma_unmap{.argsz = sizeof(uapi::vfio_iommu_type1_dma_unmap),
                                                .flags = 0,
                                                .iova = iova,
                                                .size = size},
               block);
}

TEST_CASE("two vcpus, a container and a device are at work in one window") {
    constexpr int kRounds = 40;
    Guest guest;
    guest.add_window(guest.add_table());
    std::atomic<bool> done{false};
    std::vector<std::thread> threads;
    for (std::uint64_t id = 0; id < 2; ++id) {
        threads.emplace_back([&guest, id, vcpu = guest.create_vcpu(id)] {
            for (int round = 0; round < kRounds; ++round) {
                std::vector<kvm::Hypercall> calls;
                for (std::uint64_t page = id; page < kPages; page += 2) {
                    const std::uint64_t tce = (round % 3 == 1) ? 0 : (page % 16) << 16 | 3;
                    calls.push_back({uapi::H_PUT_TCE, {kLiobn, page << 16, tce}});
                }
                guest.make(vcpu, std::move(calls));
            }
        });
    }
    // Past the guest's pages, in the same tables.
    threads.emplace_back([&guest, block = guest.map(k64K)] {
        const std::uint64_t iova = kPages << 16;
        for (int round = 0; round < kRounds; ++round) {
            map_dma(guest, block, iova, 8 * k64K);
            unmap_dma(guest, block, iova, 8 * k64K);
        }
    });
    std::thread device([&] {
        while (!done.load()) {
            for (const auto& table : guest.system().windows(1)) {
                for (std::uint64_t page = 0; table && page < kPages + 8; ++page) {
                    if (const auto found = table->translate(page << 16)) {
                        REQUIRE(found->address % k64K == 0);
                    }
                }
            }
        }
    });
    for (std::thread& thread : threads) {
        thread.join();
    }
    done.store(true);
    device.join();
    const auto table = guest.system().windows(1)[0];
    for (std::uint64_t page = 0; page < kPages; ++page) {
        CHECK(table->get(page).rights == kBoth);  // the last round is not one that clears
    }
}

TEST_CASE("links come and go under two vcpus and a container") {
    constexpr int kRounds = 60;
    fs::Proposals proposals;
    proposals.add(fs::Proposal::spapr_tce_iommu_device);
    Guest guest(proposals);
    guest.open_group(uapi::VFIO_SPAPR_TCE_IOMMU);
    guest.call(guest.container(), uapi::VFIO_IOMMU_ENABLE, 0);
    std::vector<std::thread> threads;
    for (std::uint64_t id = 0; id < 2; ++id) {
        threads.emplace_back([&guest, id, file = guest.create_vcpu(id)] {
            for (int round = 0; round < kRounds; ++round) {
                std::vector<kvm::Hypercall> calls;
                for (std::uint64_t page = id; page < kPages; page += 2) {
                    const std::uint64_t tce = round % 2 == 1 ? 0 : page % 16 << 16 | 3;
                    calls.push_back({uapi::H_PUT_TCE, {kLiobn, page << 12, tce}});
                }
                guest.make(file, std::move(calls));
            }
        });
    }
    threads.emplace_back([&guest, block = guest.map(2 * k64K)] {
        for (int round = 0; round < kRounds; ++round) {
            const int device = guest.create_device(uapi::KVM_DEV_TYPE_SPAPR_TCE_IOMMU, block);
            guest.set(
                device, uapi::KVM_DEV_SPAPR_TCE_IOMMU_ATTR_LINKAGE, 0,
                uapi::kvm_create_spapr_tce_iommu_linkage{
                    .liobn = kLiobn, .fd = static_cast<std::uint32_t>(guest.group()), .flags = 0},
                block);
            test::value(fs::sys_close(guest.task(), device));
        }
    });
    // The same entries, by lists that meet what is there and are taken back,
    constexpr std::uint64_t kList = 15 * k64K;
    for (std::uint64_t at = 0; at < kPages; ++at) {
        const std::uint64_t tce = std::byteswap(at % 14 * k64K | 3);
        test::value(guest.task().mm().copy_to_user(guest.ram() + kList + 8 * at, &tce, sizeof tce));
    }
    threads.emplace_back([&guest, file = guest.create_vcpu(2)] {
        for (int round = 0; round < kRounds; ++round) {
            guest.make(file, {{uapi::H_PUT_TCE_INDIRECT, {kLiobn, 0, kList, kPages}},
                              {uapi::H_STUFF_TCE, {kLiobn, 0, 0, 8}}});
        }
    });
    // and by the container.
    threads.emplace_back([&guest, block = guest.map(k64K)] {
        for (int round = 0; round < kRounds; ++round) {
            map_dma(guest, block, 8 << 12, 16 << 12);
            unmap_dma(guest, block, 0, kPages << 12);
        }
    });
    for (std::thread& thread : threads) {
        thread.join();
    }
}

TEST_CASE("a vcpu and a container that put the same entries count each once") {
    constexpr int kRounds = 100;
    Guest guest;
    guest.add_window(guest.add_table());
    std::vector<std::thread> threads;
    threads.emplace_back([&guest, file = guest.create_vcpu()] {
        for (int round = 0; round < kRounds; ++round) {
            std::vector<kvm::Hypercall> calls;
            for (std::uint64_t page = 0; page < 8; ++page) {
                calls.push_back({uapi::H_PUT_TCE, {kLiobn, page << 16, page << 16 | 3}});
            }
            calls.push_back({uapi::H_STUFF_TCE, {kLiobn, 0, 0, 8}});
            guest.make(file, std::move(calls));
        }
    });
    threads.emplace_back([&guest, block = guest.map(k64K)] {
        for (int round = 0; round < kRounds; ++round) {
            map_dma(guest, block, 0, 8 * k64K);
            unmap_dma(guest, block, 0, 8 * k64K);
        }
    });
    for (std::thread& thread : threads) {
        thread.join();
    }
    const auto region =
        RegisteredMemory::of(guest.task().mm()).find(guest.ram(), guest.settings().ram);
    REQUIRE(region);
    const auto table = guest.system().windows(1)[0];
    std::uint64_t entries = 0;
    for (std::uint64_t page = 0; page < kPages; ++page) {
        entries += table->get(page).rights != 0;
    }
    CHECK(region->mapped() == 1 + entries);
}

}  // namespace
}  // namespace kvmiommu::spapr
