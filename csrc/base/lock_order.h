// SPDX-License-Identifier: MIT
//
// The ranks of this folder's locks, in the order in which they are taken (base/lock_rank.h).

#pragma once

#include "base/lock_rank.h"

namespace kvmiommu::lock_order {

inline constexpr LockRank kCensus{Layer::base, 1, "census"};
inline constexpr LockRank kHolders{Layer::base, 0, "census.holders"};
inline constexpr LockRank kTrace{Layer::base, 0, "trace"};

}  // namespace kvmiommu::lock_order
