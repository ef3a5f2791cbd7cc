// SPDX-License-Identifier: MIT
//
// What mappings cost: one of each size, and one more among many.

#include <benchmark/benchmark.h>

#include "bench/machine.h"

namespace kvmiommu::bench {
namespace {

constexpr std::uint64_t kIova = std::uint64_t{1} << 34;

void BM_map_unmap(benchmark::State& state) {
    Vmm vmm;
    vmm.open();
    const auto size = static_cast<std::uint64_t>(state.range(0));
    const std::uint64_t memory = vmm.map(size);
    for (auto _ : state) {
        must(vmm.map_dma(kIova, memory, size));
        must(vmm.unmap_dma(kIova, size));
    }
}
BENCHMARK(BM_map_unmap)->Arg(4 << 10)->Arg(2 << 20)->Arg(1 << 30);

// A map and an unmap of one page while so many other mappings live, and a refused map that only
// looks for what it meets.
void BM_map_among(benchmark::State& state, bool lookup_only) {
    const auto live = static_cast<std::uint64_t>(state.range(0));
    Vmm vmm(2'000'000);
    vmm.open();
    const std::uint64_t memory = vmm.map(4096);
    for (std::uint64_t i = 0; i < live; ++i) {
        must(vmm.map_dma(kIova + i * 8192, memory, 4096));
    }
    // Far from each other, in an order that no cache foresees.
    std::uint64_t place = 0;
    for (auto _ : state) {
        place = (place * 6364136223846793005 + 1442695040888963407) % live;
        if (lookup_only) {
            benchmark::DoNotOptimize(vmm.map_dma(kIova + place * 8192, memory, 4096));
        } else {
            must(vmm.map_dma(kIova + place * 8192 + 4096, memory, 4096));
            must(vmm.unmap_dma(kIova + place * 8192 + 4096, 4096));
        }
    }
}
BENCHMARK_CAPTURE(BM_map_among, look_up, true)->Arg(100'000)->Arg(1'000'000);
BENCHMARK_CAPTURE(BM_map_among, map_unmap, false)->Arg(100'000)->Arg(1'000'000);

}  // namespace
}  // namespace kvmiommu::bench
