// SPDX-License-Identifier: MIT

#include "spapr/table_group.h"

namespace kvmiommu::spapr {

Ref<HardwareTable> TableGroup::table(unsigned number) const {
    const Lock lock(mutex_);
    return tables_[number];
}

std::optional<iommu::Translation> TableGroup::translate(std::uint64_t iova) const {
    const Lock lock(mutex_);
    for (const Ref<HardwareTable>& table : tables_) {
        if (table && table->holds(iova >> table->page_shift())) {
            return table->translate(iova);
        }
    }
    return std::nullopt;
}

}  // namespace kvmiommu::spapr
