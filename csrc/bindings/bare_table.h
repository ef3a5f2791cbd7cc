// SPDX-License-Identifier: MIT
//
// A page table alone, as Python holds it: the domain, the memory that its tables are in, and what
// makes its calls safe whoever makes them.

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

    /// Runs `call` when nobody else changes anything in the range. One that wraps is the whole
    /// space. The GIL is held, and released only for what takes a while: to get it back from a
    /// thread that is busy takes longer than to map a page.
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

    // Some ten microseconds.
    static constexpr std::uint64_t kFewPages = 4096;
    static constexpr Range kAll{0, ~std::uint64_t{0}};

    const std::shared_ptr<BareMemory> memory;
    const std::unique_ptr<iommu::Domain> domain;
    FaultPoints faults;
    RangeClaims claims;
};

}  // namespace kvmiommu
