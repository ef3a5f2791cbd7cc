// SPDX-License-Identifier: MIT
//
// The order in which this folder's locks are taken, the first one first (base/lock_rank.h).

#pragma once

#include "base/lock_rank.h"

namespace kvmiommu::lock_order {

inline constexpr LockRank kCensus{Layer::base, 1, "census"};
inline constexpr LockRank kHolders{Layer::base, 0, "census.holders"};
inline constexpr LockRank kTrace{Layer::base, 0, "trace"};

}  // namespace kvmiommu::lock_order
