// SPDX-License-Identifier: MIT
//
// A POWER guest on a machine of its own, for tests with threads and for benchmarks: a process with
// a virtual machine, and a bus that has a table of KVM's.

#pragma once

#include <fcntl.h>
#include <sys/mman.h>

#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "fs/syscalls.h"
#include "guests/must.h"
#include "kvm/vcpu.h"
#include "machine/system.h"
#include "uapi/kvm.h"
#include "uapi/kvm_2013.h"
#include "uapi/papr.h"
#include "uapi/vfio.h"

namespace kvmiommu::guests {

inline constexpr std::uint64_t k64K = 64 << 10;

struct PowerSettings {
    std::uint64_t machine_memory = std::uint64_t{1} << 30;
    std::uint64_t ram = 1 << 20;  // the guest's
    std::uint64_t pages = 64;     // of 64 KiB, of the bus
    unsigned levels = 1;          // of a hardware table
    fs::Proposals proposals = {};
};

class PowerGuest {
  public:
    static constexpr std::uint64_t kLiobn = 0x80000001;

    explicit PowerGuest(const PowerSettings& settings)
        : settings_(settings),
          system_(must(machine::System::create(description(settings)))),
          process_(must(system_->create_process())),
          block_(map(2 * k64K)),
          ram_(map(settings.ram)),
          vm_(call(open("/dev/kvm"), uapi::KVM_CREATE_VM, 0)) {
        give(vm_, uapi::KVM_SET_USER_MEMORY_REGION,
             uapi::kvm_userspace_memory_region{.slot = 0,
                                               .flags = 0,
                                               .guest_phys_addr = 0,
                                               .memory_size = settings.ram,
                                               .userspace_addr = ram_});
    }

    const PowerSettings& settings() const { return settings_; }
    machine::System& system() { return *system_; }
    machine::Process& process() { return *process_; }
    fs::Task& task() { return process_->task(); }
    std::uint64_t ram() const { return ram_; }
    int vm() const { return vm_; }
    int container() const { return container_; }
    int group() const { return group_; }

    // --- calls; those with a block use memory that threads must not share: `at` is theirs ---

    int open(const char* path) {
        return static_cast<int>(must(fs::sys_open(task(), path, O_RDWR)));
    }
    std::uint64_t map(std::uint64_t bytes) {
        return static_cast<std::uint64_t>(
            must(fs::sys_mmap(process_->task(), process_->mm(), 0, bytes, PROT_READ | PROT_WRITE,
                              MAP_PRIVATE | MAP_ANONYMOUS, -1, 0, 0)));
    }
    Result<std::int64_t> try_call(int file, uapi::Request request, std::uint64_t argument) {
        return fs::sys_ioctl(task(), file, request.number(uapi::Abi::power), argument);
    }
    int call(int file, uapi::Request request, std::uint64_t argument) {
        return static_cast<int>(must(try_call(file, request, argument)));
    }
    template <class Block>
    int give(int file, uapi::Request request, const Block& block, std::uint64_t at = 0) {
        at = at != 0 ? at : block_;
        must(task().mm().copy_to_user(at, &block, sizeof block));
        return call(file, request, at);
    }
    template <class Argument>
    void set(int device, std::uint32_t group, std::uint64_t attribute, const Argument& argument,
             std::uint64_t at = 0) {
        at = at != 0 ? at : block_;
        must(task().mm().copy_to_user(at + 4096, &argument, sizeof argument));
        give(
            device, uapi::KVM_SET_DEVICE_ATTR,
            uapi::kvm_device_attr{.flags = 0, .group = group, .attr = attribute, .addr = at + 4096},
            at);
    }
    int create_device(std::uint32_t type, std::uint64_t at = 0) {
        at = at != 0 ? at : block_;
        uapi::kvm_create_device device{};
        device.type = type;
        give(vm_, uapi::KVM_CREATE_DEVICE, device, at);
        must(task().mm().copy_from_user(&device, at, sizeof device));
        return static_cast<int>(device.fd);
    }

    // --- what the guest has ---

    /// A table of KVM's for the bus, and every hypercall left to the kernel.
    int add_table() {
        for (const std::uint32_t number : {uapi::H_STUFF_TCE, uapi::H_PUT_TCE_INDIRECT}) {
            uapi::kvm_enable_cap cap{};
            cap.cap = uapi::KVM_CAP_PPC_ENABLE_HCALL;
            cap.args[0] = number;
            cap.args[1] = 1;
            give(vm_, uapi::KVM_ENABLE_CAP, cap);
        }
        return give(vm_, uapi::KVM_CREATE_SPAPR_TCE_64,
                    uapi::kvm_create_spapr_tce_64{.liobn = kLiobn,
                                                  .page_shift = 16,
                                                  .flags = 0,
                                                  .offset = 0,
                                                  .size = settings_.pages});
    }
    /// Group 1 in a container of this version.
    void open_group(std::uint64_t version) {
        container_ = open("/dev/vfio/vfio");
        group_ = open("/dev/vfio/1");
        give(group_, uapi::VFIO_GROUP_SET_CONTAINER, std::int32_t{container_});
        call(container_, uapi::VFIO_SET_IOMMU, version);
    }
    /// A window behind the table, with the guest's memory registered.
    void add_window(int table) {
        open_group(uapi::VFIO_SPAPR_TCE_v2_IOMMU);
        give(container_, uapi::VFIO_IOMMU_SPAPR_TCE_REMOVE,
             uapi::vfio_iommu_spapr_tce_remove{
                 .argsz = sizeof(uapi::vfio_iommu_spapr_tce_remove), .flags = 0, .start_addr = 0});
        uapi::vfio_iommu_spapr_tce_create create{};
        create.argsz = sizeof create;
        create.page_shift = 16;
        create.window_size = 4096 * k64K;
        create.levels = settings_.levels;
        give(container_, uapi::VFIO_IOMMU_SPAPR_TCE_CREATE, create);
        uapi::vfio_iommu_spapr_register_memory memory{};
        memory.argsz = sizeof memory;
        memory.vaddr = ram_;
        memory.size = settings_.ram;
        give(container_, uapi::VFIO_IOMMU_SPAPR_REGISTER_MEMORY, memory);
        const int device = create_device(uapi::KVM_DEV_TYPE_VFIO);
        set(device, uapi::KVM_DEV_VFIO_FILE, uapi::KVM_DEV_VFIO_FILE_ADD, group_);
        set(device, uapi::KVM_DEV_VFIO_FILE, uapi::KVM_DEV_VFIO_GROUP_SET_SPAPR_TCE,
            uapi::kvm_vfio_spapr_tce{group_, table});
    }

    // --- what it does ---

    int create_vcpu(std::uint64_t id = 0) { return call(vm_, uapi::KVM_CREATE_VCPU, id); }
    kvm::Vcpu& vcpu(int file) {
        return dynamic_cast<kvm::VcpuFile&>(*must(task().files().get(file))).vcpu();
    }
    /// One KVM_RUN. False: it is not user space's turn, EINTR.
    bool run(int vcpu) { return try_call(vcpu, uapi::KVM_RUN, 0).has_value(); }

  private:
    static machine::Description description(const PowerSettings& settings) {
        machine::Description machine;
        machine.name = "power";
        machine.arch = fs::Arch::ppc64le;
        machine.page_size = k64K;
        machine.memory = settings.machine_memory;
        machine.proposals = settings.proposals;
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
                               .interrupt_line = {},
                               .hardware = {}});
        return machine;
    }

    const PowerSettings settings_;
    const std::unique_ptr<machine::System> system_;
    const std::shared_ptr<machine::Process> process_;
    const std::uint64_t block_;
    const std::uint64_t ram_;
    const int vm_;
    int container_ = -1;
    int group_ = -1;
};

}  // namespace kvmiommu::guests
