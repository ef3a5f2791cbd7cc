// SPDX-License-Identifier: MIT
//
// What a hypercall costs that the kernel answers: with and without a hardware table behind the
// guest's, and an entry of a list. Compare with BM_getppid of the same run.

#include <benchmark/benchmark.h>

#include <bit>

#include "guests/power_guest.h"

namespace kvmiommu::bench {
namespace {

using guests::k64K;
using guests::must;
using guests::PowerGuest;

constexpr std::uint64_t kPages = 4096;
constexpr std::uint64_t kList = k64K;
constexpr std::size_t kRun = 4096;  // hypercalls of one KVM_RUN

// A guest of one vcpu whose bus has a table, and a window behind it if asked for.
struct Guest : PowerGuest {
    explicit Guest(bool with_window)
        : PowerGuest({.machine_memory = std::uint64_t{4} << 30, .ram = 16 << 20, .pages = kPages}) {
        const int table = add_table();
        if (with_window) {
            add_window(table);
        }
    }
    void fill_list() {
        for (std::uint64_t at = 0; at < 512; ++at) {
            const std::uint64_t tce = std::byteswap(at % 256 * k64K | 3);
            must(task().mm().copy_to_user(ram() + kList + 8 * at, &tce, sizeof tce));
        }
    }

    const int vcpu_file = create_vcpu();
};

// Puts pages one by one over the whole table, in one KVM_RUN.
void BM_h_put_tce(benchmark::State& state, bool with_window) {
    Guest guest(with_window);
    kvm::Vcpu& vcpu = guest.vcpu(guest.vcpu_file);
    std::vector<kvm::Hypercall> calls(kRun);
    for (std::size_t at = 0; at < kRun; ++at) {
        calls[at] = {uapi::H_PUT_TCE,
                     {PowerGuest::kLiobn, at % kPages * k64K, at % 256 * k64K | 3}};
    }
    for (auto _ : state) {
        vcpu.queue(calls);
        benchmark::DoNotOptimize(guest.run(guest.vcpu_file));
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
    kvm::Vcpu& vcpu = guest.vcpu(guest.vcpu_file);
    std::vector<kvm::Hypercall> calls(kPages / 512);
    for (std::size_t at = 0; at < calls.size(); ++at) {
        calls[at] = {uapi::H_PUT_TCE_INDIRECT, {PowerGuest::kLiobn, at * 512 * k64K, kList, 512}};
    }
    for (auto _ : state) {
        vcpu.queue(calls);
        benchmark::DoNotOptimize(guest.run(guest.vcpu_file));
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
