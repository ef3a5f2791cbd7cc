// SPDX-License-Identifier: MIT
//
// What a second thread gains when both map and unmap ranges of their own in one table, without a
// lock. `scaling` is the work of both in the time of one, of the same run: 2 is all there is to
// gain. Nobody sleeps here, so it is taken from the processor's time of a thread, which also a
// machine that is busy with something else tells truly; the times in front of it are the wall's.

#include <benchmark/benchmark.h>
#include <time.h>

#include <map>
#include <memory>
#include <string>

#include "bench/machine.h"
#include "iommu/bare_domain.h"
#include "iommu/map.h"

namespace kvmiommu::bench {
namespace {

// A part of the space for each thread, with tables of its own but for the upper ones.
constexpr std::uint64_t kPart = std::uint64_t{1} << 32;
constexpr iommu::PhysAddr kAddress = std::uint64_t{5} << 30;

struct Table {
    explicit Table(const iommu::FormatInfo& format)
        : memory(must(mm::PhysicalMemory::create(256 << 20, 0))),
          domain(must(iommu::create_bare_domain(*memory, format, {}, faults))) {}

    FaultPoints faults;
    std::unique_ptr<mm::PhysicalMemory> memory;
    std::unique_ptr<iommu::Domain> domain;
};

// Of the benchmark that is running.
std::unique_ptr<Table> table;
// What one thread, alone, took for one turn, by the benchmark's name.
std::map<std::string, double> alone;

double processor_seconds() {
    timespec now{};
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

// Maps and unmaps so many small pages over and over, each time in the same place.
void BM_threads(benchmark::State& state, const char* name, std::uint64_t pages, bool keep_table) {
    const auto self = static_cast<std::uint64_t>(state.thread_index());
    if (self == 0) {
        table = std::make_unique<Table>(*iommu::find_format(name));
    }
    double start = 0;
    FaultPoints faults;
    iommu::Domain* domain = nullptr;
    std::uint64_t page = 0;
    std::uint64_t iova = 0;
    for (auto _ : state) {
        if (domain == nullptr) [[unlikely]] {
            start = processor_seconds();
            domain = table->domain.get();
            page = lowest_bit(domain->pgsize_bitmap());
            iova = domain->aperture().start + self * kPart;
            if (keep_table) {
                must(
                    iommu::map(*domain, iova + pages * page, kAddress, page, iommu::kRead, faults));
            }
        }
        // One page off, or large ones would do.
        must(iommu::map(*domain, iova, kAddress + page, pages * page, iommu::kRead | iommu::kWrite,
                        faults));
        benchmark::DoNotOptimize(iommu::unmap(*domain, iova, pages * page, faults));
    }
    const double turn = (processor_seconds() - start) / static_cast<double>(state.iterations());
    const std::string key = std::string(name) + "/" + std::to_string(pages);
    state.SetItemsProcessed(static_cast<std::int64_t>(pages) * state.iterations());
    if (self != 0) {
        return;
    }
    if (state.threads() == 1) {
        alone[key] = turn;
    } else if (const auto one = alone.find(key); one != alone.end()) {
        state.counters["scaling"] = state.threads() * one->second / turn;
    }
    table.reset();
}

// One page and a run of pages in a table that stays; a whole table that comes and goes.
const bool registered = [] {
    for (const char* name :
         {"amdv1", "x86_64", "vtdss", "armv8-s1", "armv8-s2", "riscv64", "tce"}) {
        for (const std::uint64_t pages : {1, 256, 512}) {
            const bool keep_table = pages < 512;
            benchmark::RegisterBenchmark(
                ("BM_threads/" + std::string(name) + "/" + std::to_string(pages)).c_str(),
                [=](benchmark::State& state) { BM_threads(state, name, pages, keep_table); })
                ->Threads(1)
                ->Threads(2)
                ->UseRealTime();
        }
    }
    return true;
}();

}  // namespace
}  // namespace kvmiommu::bench
