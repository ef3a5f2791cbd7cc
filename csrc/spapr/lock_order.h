// SPDX-License-Identifier: MIT
//
// The order in which this folder's locks are taken, the first one first (base/lock_rank.h). Those
// of an IOMMU driver come after the group's, as every driver's do.

#pragma once

#include "base/lock_rank.h"

namespace kvmiommu::spapr::lock_order {

inline constexpr LockRank kRegisteredMemory{Layer::spapr, 2, "mm_iommu_group_mem_list"};
inline constexpr LockRank kTableGroup{Layer::iommu, 4, "iommu_table_group"};
inline constexpr LockRank kPagingDomain{Layer::iommu, 4, "spapr paging domain"};

}  // namespace kvmiommu::spapr::lock_order
