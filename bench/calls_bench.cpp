// SPDX-License-Identifier: MIT
//
// What a call costs, beside the cheapest call of the real kernel.

#include <benchmark/benchmark.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "bench/machine.h"

namespace kvmiommu::bench {
namespace {

void BM_getppid(benchmark::State& state) {
    for (auto _ : state) {
        benchmark::DoNotOptimize(syscall(SYS_getppid));
    }
}
BENCHMARK(BM_getppid);

// Dispatch alone: a request without an argument.
void BM_ioctl_value(benchmark::State& state) {
    Vmm vmm;
    vmm.open();
    const std::uint32_t request = uapi::VFIO_GET_API_VERSION.number(uapi::Abi::generic);
    for (auto _ : state) {
        benchmark::DoNotOptimize(fs::sys_ioctl(vmm.task(), vmm.container(), request, 0));
    }
}
BENCHMARK(BM_ioctl_value);

// Dispatch and copy-in of a struct that asks for nothing: an unmap of a hole.
void BM_ioctl_struct(benchmark::State& state) {
    Vmm vmm;
    vmm.open();
    for (auto _ : state) {
        benchmark::DoNotOptimize(vmm.unmap_dma(0x1000, 0x1000));
    }
}
BENCHMARK(BM_ioctl_struct);

void BM_container_open_to_close(benchmark::State& state) {
    Vmm vmm;
    for (auto _ : state) {
        vmm.open();
        vmm.close();
    }
}
BENCHMARK(BM_container_open_to_close);

}  // namespace
}  // namespace kvmiommu::bench
