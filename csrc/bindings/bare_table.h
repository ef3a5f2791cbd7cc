// SPDX-License-Identifier: MIT
//
// A page table alone, as Python holds it: the domain, the memory that its tables are in, and what
// makes its calls safe whoever makes them.

#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <utility>

#include "base/base.h"
#include "bindings/range_claims.h"
#include "iommu/bare_domain.h"
#include "mm/physical_memory.h"

namespace kvmiommu {

struct BareTable {
    BareTable(std::shared_ptr<mm::PhysicalMemory> ram, std::unique_ptr<iommu::Domain> of)
        : memory(std::move(ram)), domain(std::move(of)) {}

    /// Runs `call` when nobody else changes anything in the range. One that wraps is the whole
    /// space.
    template <class Call>
    auto alone(std::uint64_t iova, std::uint64_t size, Call&& call) {
        const Range range = Range::of(iova, size == 0 ? 1 : size).value_or(kAll);
        const RangeClaims::Claim claim(claims, range);
        return call();
    }

    static constexpr Range kAll{0, ~std::uint64_t{0}};

    const std::shared_ptr<mm::PhysicalMemory> memory;
    const std::unique_ptr<iommu::Domain> domain;
    FaultPoints faults;
    RangeClaims claims;
};

}  // namespace kvmiommu
