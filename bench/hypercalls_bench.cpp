// SPDX-License-Identifier: MIT
//
// What a hypercall costs that the kernel answers: with and without a hardware table behind the
// guest's, and an entry of a list. Compare with BM_getppid of the same run.

#include <benchmark/benchmark.h>

#include <bit>

#include "bench/machine.h"
#include "kvm/vcpu.h"
#include "uapi/kvm.h"
#include "uapi/papr.h"

namespace kvmiommu::bench {
namespace {

constexpr std::uint64_t kLiobn = 0x80000001;
constexpr std::uint64_t kRam = 16 << 20;
constexpr unsigned kPageShift = 16;
constexpr std::uint64_t kPages = 4096;
constexpr std::uint64_t kList = 0x10000;
constexpr std::size_t kRun = 4096;  // hypercalls of one KVM_RUN

machine::Description powernv() {
    machine::Description machine;
    machine.name = "bench";
    machine.abi = uapi::Abi::power;
    machine.page_size = 65536;
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

// A guest of one vcpu whose bus has a table, and a window behind it if asked for.
class Guest {
  public:
    explicit Guest(bool with_window)
        : system_(must(machine::System::create(powernv()))),
          process_(must(system_->create_process())),
          block_(map(65536)),
          ram_(map(kRam)) {
        const int module = open("/dev/kvm");
        vm_ = fd(call(module, uapi::KVM_CREATE_VM, 0));
        give(vm_, uapi::KVM_SET_USER_MEMORY_REGION,
             uapi::kvm_userspace_memory_region{.slot = 0,
                                               .flags = 0,
                                               .guest_phys_addr = 0,
                                               .memory_size = kRam,
                                               .userspace_addr = ram_});
        vcpu_ = fd(call(vm_, uapi::KVM_CREATE_VCPU, 0));
        const int table = fd(give(vm_, uapi::KVM_CREATE_SPAPR_TCE_64,
                                  uapi::kvm_create_spapr_tce_64{.liobn = kLiobn,
                                                                .page_shift = kPageShift,
                                                                .flags = 0,
                                                                .offset = 0,
                                                                .size = kPages}));
        for (const std::uint32_t number : {uapi::H_STUFF_TCE, uapi::H_PUT_TCE_INDIRECT}) {
            uapi::kvm_enable_cap cap{};
            cap.cap = uapi::KVM_CAP_PPC_ENABLE_HCALL;
            cap.args[0] = number;
            cap.args[1] = 1;
            give(vm_, uapi::KVM_ENABLE_CAP, cap);
        }
        if (with_window) {
            add_window(table);
        }
    }

    kvm::Vcpu& vcpu() {
        const auto file = must(task().files().get(vcpu_));
        return dynamic_cast<kvm::VcpuFile&>(*file).vcpu();
    }
    void run() {
        // EINTR: the queue is empty.
        benchmark::DoNotOptimize(
            fs::sys_ioctl(task(), vcpu_, uapi::KVM_RUN.number(uapi::Abi::power), 0));
    }
    void fill_list() {
        for (std::uint64_t at = 0; at < 512; ++at) {
            const std::uint64_t tce = std::byteswap((at % 256) << kPageShift | 3);
            must(task().mm().copy_out(ram_ + kList + 8 * at, &tce, sizeof tce));
        }
    }

  private:
    fs::Task& task() { return process_->task(); }
    static int fd(std::int64_t number) { return static_cast<int>(number); }
    int open(const char* path) { return fd(must(fs::sys_open(task(), path, O_RDWR))); }
    std::uint64_t map(std::uint64_t bytes) {
        return static_cast<std::uint64_t>(
            must(fs::sys_mmap(process_->task(), process_->mm(), 0, bytes, PROT_READ | PROT_WRITE,
                              MAP_PRIVATE | MAP_ANONYMOUS, -1, 0, 0)));
    }
    std::int64_t call(int file, uapi::Request request, std::uint64_t argument) {
        return must(fs::sys_ioctl(task(), file, request.number(uapi::Abi::power), argument));
    }
    template <class Block>
    std::int64_t give(int file, uapi::Request request, Block block) {
        must(task().mm().copy_out(block_, &block, sizeof block));
        return call(file, request, block_);
    }

    void add_window(int table) {
        const int container = open("/dev/vfio/vfio");
        const int group = open("/dev/vfio/1");
        give(group, uapi::VFIO_GROUP_SET_CONTAINER, std::int32_t{container});
        call(container, uapi::VFIO_SET_IOMMU, uapi::VFIO_SPAPR_TCE_v2_IOMMU);
        give(container, uapi::VFIO_IOMMU_SPAPR_TCE_REMOVE,
             uapi::vfio_iommu_spapr_tce_remove{
                 .argsz = sizeof(uapi::vfio_iommu_spapr_tce_remove), .flags = 0, .start_addr = 0});
        uapi::vfio_iommu_spapr_tce_create create{};
        create.argsz = sizeof create;
        create.page_shift = kPageShift;
        create.window_size = kPages << kPageShift;
        create.levels = 1;
        give(container, uapi::VFIO_IOMMU_SPAPR_TCE_CREATE, create);
        uapi::vfio_iommu_spapr_register_memory memory{};
        memory.argsz = sizeof memory;
        memory.vaddr = ram_;
        memory.size = kRam;
        give(container, uapi::VFIO_IOMMU_SPAPR_REGISTER_MEMORY, memory);
        uapi::kvm_create_device device{};
        device.type = uapi::KVM_DEV_TYPE_VFIO;
        give(vm_, uapi::KVM_CREATE_DEVICE, device);
        must(task().mm().copy_in(&device, block_, sizeof device));
        const std::uint64_t argument = block_ + 4096;
        const auto set = [&](std::uint64_t attribute, const void* bytes, std::size_t size) {
            must(task().mm().copy_out(argument, bytes, size));
            give(static_cast<int>(device.fd), uapi::KVM_SET_DEVICE_ATTR,
                 uapi::kvm_device_attr{.flags = 0,
                                       .group = uapi::KVM_DEV_VFIO_FILE,
                                       .attr = attribute,
                                       .addr = argument});
        };
        set(uapi::KVM_DEV_VFIO_FILE_ADD, &group, sizeof group);
        const uapi::kvm_vfio_spapr_tce both{group, table};
        set(uapi::KVM_DEV_VFIO_GROUP_SET_SPAPR_TCE, &both, sizeof both);
    }

    std::unique_ptr<machine::System> system_;
    std::shared_ptr<machine::Process> process_;
    std::uint64_t block_;
    std::uint64_t ram_;
    int vm_ = -1;
    int vcpu_ = -1;
};

// Puts pages one by one over the whole table, in one KVM_RUN.
void BM_h_put_tce(benchmark::State& state, bool with_window) {
    Guest guest(with_window);
    kvm::Vcpu& vcpu = guest.vcpu();
    std::vector<kvm::Hypercall> calls(kRun);
    for (std::size_t at = 0; at < kRun; ++at) {
        calls[at] = {uapi::H_PUT_TCE,
                     {kLiobn, (at % kPages) << kPageShift, (at % 256) << kPageShift | 3}};
    }
    for (auto _ : state) {
        vcpu.queue(calls);
        guest.run();
        benchmark::DoNotOptimize(vcpu.take_answers());
    }
    state.SetItemsProcessed(static_cast<std::int64_t>(state.iterations() * kRun));
    state.counters["each"] = benchmark::Counter(
        static_cast<double>(kRun),
        benchmark::Counter::kIsIterationInvariantRate | benchmark::Counter::kInvert);
}
BENCHMARK_CAPTURE(BM_h_put_tce, guest_table, false);
BENCHMARK_CAPTURE(BM_h_put_tce, hardware_table, true);

// The same by lists of 512.
void BM_h_put_tce_indirect(benchmark::State& state, bool with_window) {
    Guest guest(with_window);
    guest.fill_list();
    kvm::Vcpu& vcpu = guest.vcpu();
    std::vector<kvm::Hypercall> calls(kPages / 512);
    for (std::size_t at = 0; at < calls.size(); ++at) {
        calls[at] = {uapi::H_PUT_TCE_INDIRECT, {kLiobn, (at * 512) << kPageShift, kList, 512}};
    }
    for (auto _ : state) {
        vcpu.queue(calls);
        guest.run();
        benchmark::DoNotOptimize(vcpu.take_answers());
    }
    state.counters["each"] = benchmark::Counter(
        static_cast<double>(kPages),
        benchmark::Counter::kIsIterationInvariantRate | benchmark::Counter::kInvert);
}
BENCHMARK_CAPTURE(BM_h_put_tce_indirect, guest_table, false);
BENCHMARK_CAPTURE(BM_h_put_tce_indirect, hardware_table, true);

}  // namespace
}  // namespace kvmiommu::bench
