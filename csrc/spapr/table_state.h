// SPDX-License-Identifier: MIT
//
// What the buses of a guest have in their tables, for people and for tests: the kernel shows it
// nowhere.

#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "spapr/hypercalls.h"

namespace kvmiommu::spapr {

struct TableState {
    struct Entry {
        std::uint64_t page;  // of the bus, from address 0 on
        std::uint64_t tce;   // as the guest wrote it, or of a linked bus as the hardware has it
    };

    std::uint64_t liobn;
    std::optional<std::uint32_t> group;  // that the bus is linked to; none: a table of KVM's own
    unsigned page_shift;
    std::uint64_t offset;        // in pages
    std::uint64_t size;          // in pages; 0: the group has lost its table
    std::vector<Entry> entries;  // but those that are 0
};

/// Of each bus, by their numbers.
std::vector<TableState> table_states(const GuestTables& tables);

}  // namespace kvmiommu::spapr
