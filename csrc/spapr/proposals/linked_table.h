// SPDX-License-Identifier: MIT
//
// A bus of a guest that is linked to the table of an IOMMU group, without a table of KVM's own, as
// proposed in 2013 ("KVM: PPC: Add support for IOMMU in-kernel handling":
// struct kvmppc_spapr_tce_table with a group).

#pragma once

#include <cstdint>

#include "iommu/group.h"
#include "spapr/table_group.h"
#include "spapr/tce_ops.h"

namespace kvmiommu::spapr {

struct LinkedTable {
    std::uint64_t liobn;
    std::uint32_t window_size;  // in bytes, when it was linked
    const iommu::Group& group;

    /// The table of the group; null: it has none any more.
    Ref<HardwareTable> table() const {
        const TableGroup* const windows = table_group_of(group);
        Ref<HardwareTable> found = windows != nullptr ? windows->table(0) : nullptr;
        return found && !found->retired() ? found : nullptr;
    }
};

}  // namespace kvmiommu::spapr
