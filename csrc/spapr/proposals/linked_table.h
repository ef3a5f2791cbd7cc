// SPDX-License-Identifier: MIT
//
// A guest's bus that is linked to the table of an IOMMU group, with no table of KVM's own between
// them, as it was proposed in 2013 ("KVM: PPC: Add support for IOMMU in-kernel handling":
// struct kvmppc_spapr_tce_table with a group).

#pragma once

#include <cstdint>

#include "iommu/group.h"
#include "spapr/table_group.h"
#include "spapr/tce_ops.h"

namespace kvmiommu::spapr {

struct LinkedTable {
    std::uint64_t liobn;
    std::uint32_t window_size;  // bytes, of the table when it was linked
    const iommu::Group& group;

    /// The group's table; null: it has lost it.
    Ref<HardwareTable> table() const {
        const TableGroup* const windows = table_group_of(group);
        Ref<HardwareTable> found = windows != nullptr ? windows->table(0) : nullptr;
        return found && !found->retired() ? found : nullptr;
    }
};

}  // namespace kvmiommu::spapr
