// SPDX-License-Identifier: MIT
//
// A guest's bus that is linked to the table of an IOMMU group, with no table of KVM's own between
// them, as it was proposed in 2013 ("KVM: PPC: Add support for IOMMU in-kernel handling":
// struct kvmppc_spapr_tce_table with a group).

#pragma once

#include <cstdint>

#include "iommu/group.h"
#include "spapr/table_group.h"

namespace kvmiommu::spapr {

struct LinkedTable {
    std::uint64_t liobn;
    std::uint32_t window_size;  // bytes, of the table when it was linked
    const iommu::Group& group;
    const TableGroup& windows;

    /// The group's table; null: it has lost it.
    Ref<HardwareTable> table() const {
        Ref<HardwareTable> found = windows.table(0);
        return found && !found->retired() ? found : nullptr;
    }
};

}  // namespace kvmiommu::spapr
