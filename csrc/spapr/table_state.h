// SPDX-License-Identifier: MIT
//
// What is in the tables of a guest's buses, for people and tests. The kernel has no interface for
// it.

#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "spapr/hypercalls.h"

namespace kvmiommu::spapr {

struct TableState {
    struct Entry {
        std::uint64_t page;  // of the bus, from address 0 on
        std::uint64_t tce;   // as the guest wrote it; of a linked bus, the hardware's
    };

    std::uint64_t liobn;
    std::optional<std::uint32_t> group;  // that the bus is linked to; none: it has a GuestTable
    unsigned page_shift;
    std::uint64_t offset;        // in pages
    std::uint64_t size;          // in pages; 0: the group has no table any more
    std::vector<Entry> entries;  // that are not 0
};

/// Of each bus, in the order of their numbers.
std::vector<TableState> table_states(const GuestTables& tables);

}  // namespace kvmiommu::spapr
