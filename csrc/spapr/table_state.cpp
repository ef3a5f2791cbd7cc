// SPDX-License-Identifier: MIT

#include "spapr/table_state.h"

#include <algorithm>
#include <utility>

namespace kvmiommu::spapr {

namespace {

TableState state_of(const GuestTable& table) {
    const GuestTable::Window& window = table.window();
    TableState state{table.liobn(), std::nullopt, window.page_shift,
                     window.offset, window.size,  {}};
    for (std::uint64_t index = 0; index < window.size;) {
        const std::uint64_t missing = table.entries_without_page(index);
        if (missing != 0) {
            index += missing;
            continue;
        }
        if (const std::uint64_t tce = table.get(index); tce != 0) {
            state.entries.push_back({window.offset + index, tce});
        }
        ++index;
    }
    return state;
}

TableState state_of(const LinkedTable& linked) {
    const Ref<HardwareTable> table = linked.table();
    if (!table) {
        return {linked.liobn, linked.group.id(), 0, 0, 0, {}};
    }
    TableState state{linked.liobn,    linked.group.id(), table->page_shift(),
                     table->offset(), table->size(),     {}};
    for (std::uint64_t page = table->offset(); table->holds(page);) {
        const std::uint64_t missing = table->pages_without_table(page);
        if (missing != 0) {
            page += missing;
            continue;
        }
        if (const std::uint64_t tce = table->get(page).entry(); tce != 0) {
            state.entries.push_back({page, tce});
        }
        ++page;
    }
    return state;
}

}  // namespace

std::vector<TableState> table_states(const GuestTables& tables) {
    std::vector<TableState> states;
    for (const GuestTable* const table : tables.tables()) {
        states.push_back(state_of(*table));
    }
    for (const LinkedTable* const linked : tables.linked()) {
        states.push_back(state_of(*linked));
    }
    std::sort(states.begin(), states.end(),
              [](const TableState& a, const TableState& b) { return a.liobn < b.liobn; });
    return states;
}

}  // namespace kvmiommu::spapr
