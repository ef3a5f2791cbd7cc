// SPDX-License-Identifier: MIT
//
// Two vcpus, a container and a device at work in one window of TCEs.

#include <fcntl.h>
#include <sys/mman.h>

#include <atomic>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "fs/syscalls.h"
#include "kvm/vcpu.h"
#include "machine/system.h"
#include "spapr/spapr.h"
#include "support.h"
#include "uapi/kvm.h"
#include "uapi/vfio.h"

namespace kvmiommu::spapr {
namespace {

using test::value;

constexpr std::uint64_t k64K = 64 << 10;
constexpr std::uint64_t k256M = 256 << 20;
constexpr std::uint64_t kBoth = uapi::TCE_PCI_READ | uapi::TCE_PCI_WRITE;

constexpr std::uint64_t kLiobn = 7;
constexpr std::uint64_t kRam = 1 << 20;
constexpr std::uint64_t kPages = 64;

machine::Description powernv() {
    machine::Description machine;
    machine.name = "threads";
    machine.abi = uapi::Abi::power;
    machine.page_size = k64K;
    machine.memory = 256 << 20;
    machine.iommus.push_back({"powernv",
                              {.name = "phb",
                               .address_width = 64,
                               .page_sizes = 0x40211000,
                               .window_size = std::uint64_t{2} << 30,
                               .table_levels = 5,
                               .reserved = {}}});
    machine.pci.push_back({.address = "0001:01:00.0",
                           .model = "edu",
                           .driver = "vfio-pci",
                           .iommu = "phb",
                           .group = 1,
                           .bars = {},
                           .hardware = {}});
    return machine;
}

class Guest {
  public:
    Guest()
        : system_(value(machine::System::create(powernv()))),
          process_(value(system_->create_process())),
          block_(map(k64K)),
          ram_(map(kRam)) {
        vm_ = call(open("/dev/kvm"), uapi::KVM_CREATE_VM, 0);
        give(vm_, uapi::KVM_SET_USER_MEMORY_REGION,
             uapi::kvm_userspace_memory_region{.slot = 0,
                                               .flags = 0,
                                               .guest_phys_addr = 0,
                                               .memory_size = kRam,
                                               .userspace_addr = ram_});
        const int table =
            give(vm_, uapi::KVM_CREATE_SPAPR_TCE_64,
                 uapi::kvm_create_spapr_tce_64{
                     .liobn = kLiobn, .page_shift = 16, .flags = 0, .offset = 0, .size = kPages});
        container_ = open("/dev/vfio/vfio");
        const int group = open("/dev/vfio/1");
        give(group, uapi::VFIO_GROUP_SET_CONTAINER, std::int32_t{container_});
        call(container_, uapi::VFIO_SET_IOMMU, uapi::VFIO_SPAPR_TCE_v2_IOMMU);
        give(container_, uapi::VFIO_IOMMU_SPAPR_TCE_REMOVE,
             uapi::vfio_iommu_spapr_tce_remove{
                 .argsz = sizeof(uapi::vfio_iommu_spapr_tce_remove), .flags = 0, .start_addr = 0});
        uapi::vfio_iommu_spapr_tce_create create{};
        create.argsz = sizeof create;
        create.page_shift = 16;
        create.window_size = k256M;
        create.levels = 2;
        give(container_, uapi::VFIO_IOMMU_SPAPR_TCE_CREATE, create);
        uapi::vfio_iommu_spapr_register_memory memory{};
        memory.argsz = sizeof memory;
        memory.vaddr = ram_;
        memory.size = kRam;
        give(container_, uapi::VFIO_IOMMU_SPAPR_REGISTER_MEMORY, memory);
        uapi::kvm_create_device device{};
        device.type = uapi::KVM_DEV_TYPE_VFIO;
        give(vm_, uapi::KVM_CREATE_DEVICE, device);
        value(task().mm().copy_in(&device, block_, sizeof device));
        set(static_cast<int>(device.fd), uapi::KVM_DEV_VFIO_FILE_ADD, group);
        set(static_cast<int>(device.fd), uapi::KVM_DEV_VFIO_GROUP_SET_SPAPR_TCE,
            uapi::kvm_vfio_spapr_tce{group, table});
    }
    ~Guest() {
        process_->exit();
        CHECK(system_->close() == std::vector<std::string>{});
        CHECK(system_->kernel().memory().total_pins() == 0);
        CHECK(system_->kernel().memory().used_frames() == 0);
    }

    fs::Task& task() { return process_->task(); }
    std::uint64_t ram() const { return ram_; }
    int vcpu(std::uint64_t id) { return call(vm_, uapi::KVM_CREATE_VCPU, id); }
    void make(int vcpu, std::vector<kvm::Hypercall> calls) {
        const auto file = value(task().files().get(vcpu));
        dynamic_cast<kvm::VcpuFile&>(*file).vcpu().queue(std::move(calls));
        while (fs::sys_ioctl(task(), vcpu, uapi::KVM_RUN.number(uapi::Abi::power), 0)) {
        }
    }
    // A block of its own, for a thread of its own.
    template <class Block>
    void dma(std::uint64_t at, uapi::Request request, const Block& block) {
        value(task().mm().copy_out(at, &block, sizeof block));
        value(fs::sys_ioctl(task(), container_, request.number(uapi::Abi::power), at));
    }
    std::uint64_t map(std::uint64_t bytes) {
        return static_cast<std::uint64_t>(
            value(fs::sys_mmap(process_->task(), process_->mm(), 0, bytes, PROT_READ | PROT_WRITE,
                               MAP_PRIVATE | MAP_ANONYMOUS, -1, 0, 0)));
    }
    std::vector<Ref<HardwareTable>> windows() { return system_->windows(1); }

  private:
    int open(const char* path) {
        return static_cast<int>(value(fs::sys_open(task(), path, O_RDWR)));
    }
    int call(int file, uapi::Request request, std::uint64_t argument) {
        return static_cast<int>(
            value(fs::sys_ioctl(task(), file, request.number(uapi::Abi::power), argument)));
    }
    template <class Block>
    int give(int file, uapi::Request request, const Block& block) {
        value(task().mm().copy_out(block_, &block, sizeof block));
        return call(file, request, block_);
    }
    template <class Argument>
    void set(int device, std::uint64_t attribute, const Argument& argument) {
        value(task().mm().copy_out(block_ + 4096, &argument, sizeof argument));
        give(device, uapi::KVM_SET_DEVICE_ATTR,
             uapi::kvm_device_attr{.flags = 0,
                                   .group = uapi::KVM_DEV_VFIO_FILE,
                                   .attr = attribute,
                                   .addr = block_ + 4096});
    }

    std::unique_ptr<machine::System> system_;
    std::shared_ptr<machine::Process> process_;
    std::uint64_t block_;
    std::uint64_t ram_;
    int vm_ = -1;
    int container_ = -1;
};

TEST_CASE("two vcpus, a container and a device are at work in one window") {
    constexpr int kRounds = 40;
    Guest guest;
    std::atomic<bool> done{false};
    std::vector<std::thread> threads;
    for (std::uint64_t id = 0; id < 2; ++id) {
        threads.emplace_back([&guest, id, vcpu = guest.vcpu(id)] {
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
            guest.dma(block, uapi::VFIO_IOMMU_MAP_DMA,
                      uapi::vfio_iommu_type1_dma_map{
                          .argsz = sizeof(uapi::vfio_iommu_type1_dma_map),
                          .flags = uapi::VFIO_DMA_MAP_FLAG_READ | uapi::VFIO_DMA_MAP_FLAG_WRITE,
                          .vaddr = guest.ram(),
                          .iova = iova,
                          .size = 8 * k64K});
            guest.dma(
                block, uapi::VFIO_IOMMU_UNMAP_DMA,
                uapi::vfio_iommu_type1_dma_unmap{.argsz = sizeof(uapi::vfio_iommu_type1_dma_unmap),
                                                 .flags = 0,
                                                 .iova = iova,
                                                 .size = 8 * k64K});
        }
    });
    std::thread device([&] {
        while (!done.load()) {
            for (const auto& table : guest.windows()) {
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
    const auto table = guest.windows()[0];
    for (std::uint64_t page = 0; page < kPages; ++page) {
        CHECK(table->get(page).rights == kBoth);  // the last round is not one that clears
    }
}

}  // namespace
}  // namespace kvmiommu::spapr
