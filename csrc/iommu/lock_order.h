// SPDX-License-Identifier: MIT
//
// The order in which this folder's locks are taken, the first one first (base/lock_rank.h).

#pragma once

#include "base/lock_rank.h"

namespace kvmiommu::iommu::lock_order {

inline constexpr LockRank kGroup{Layer::iommu, 10, "iommu_group.mutex"};
inline constexpr LockRank kDomain{Layer::iommu, 9, "iommu_domain.iotlb"};
inline constexpr LockRank kAllIotlbs{Layer::iommu, 8, "iotlbs of the machine"};
inline constexpr LockRank kIotlb{Layer::iommu, 7, "iotlb"};
inline constexpr LockRank kDriverSizes{Layer::iommu, 6, "iommu_ops.pgsize_bitmap"};
inline constexpr LockRank kSharedDomain{Layer::iommu, 5, "shared_domain"};
inline constexpr LockRank kDriverDomain{Layer::iommu, 4, "iommu_domain of a driver"};
inline constexpr LockRank kStaleUses{Layer::iommu, 1, "stale uses"};
inline constexpr LockRank kFaults{Layer::iommu, 0, "dma faults"};

}  // namespace kvmiommu::iommu::lock_order
