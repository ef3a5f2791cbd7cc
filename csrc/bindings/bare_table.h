// SPDX-License-Identifier: MIT
//
// The object of _core.PageTable: a domain without a machine, the memory of its tables, and the
// claims that serialize calls of several threads.

#pragma once

#include <pybind11/pybind11.h>

#include <bit>
#include <cstdint>
#include <memory>
#include <mutex>
#include <utility>

#include "base/base.h"
#include "bindings/gil.h"
#include "bindings/range_claims.h"
#include "iommu/bare_domain.h"
#include "mm/fork_generation.h"
#include "mm/physical_memory.h"

namespace kvmiommu {

/// RAM for page tables.
class BareMemory {
  public:
    explicit BareMemory(std::unique_ptr<mm::PhysicalMemory> memory) : memory_(std::move(memory)) {}
    const mm::ForkGeneration& made() const { return made_; }
    mm::PhysicalMemory& operator*() const { return *memory_; }

  private:
    const mm::ForkGeneration made_;
    const std::unique_ptr<mm::PhysicalMemory> memory_;
};

struct BareTable {
    BareTable(std::shared_ptr<BareMemory> ram, std::unique_ptr<iommu::Domain> of)
        : memory(std::move(ram)), domain(std::move(of)) {}
    const mm::ForkGeneration& made() const { return memory->made(); }

    /// Runs `call` while no other thread changes the range; one that wraps is the whole space. The
    /// GIL is held, and released only for long calls: getting it back from a busy thread takes
    /// longer than to map a page.
    template <class Call>
    auto alone(std::uint64_t iova, std::uint64_t size, Call&& call) {
        const Range range = Range::of(iova, size == 0 ? 1 : size).value_or(kAll);
        if (size >> std::countr_zero(domain->pgsize_bitmap()) <= kFewPages) {
            const RangeClaims::Claim claim(claims, range, std::try_to_lock);
            if (claim) [[likely]] {
                return call();
            }
        }
        const WithoutGil released;
        const RangeClaims::Claim claim(claims, range);
        return call();
    }

    // A call for more pages takes more than about ten microseconds.
    static constexpr std::uint64_t kFewPages = 4096;
    static constexpr Range kAll{0, ~std::uint64_t{0}};

    const std::shared_ptr<BareMemory> memory;
    const std::unique_ptr<iommu::Domain> domain;
    FaultPoints faults;
    RangeClaims claims;
};

}  // namespace kvmiommu
