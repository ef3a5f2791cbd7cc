// SPDX-License-Identifier: MIT
//
// The ranks of this folder's locks, in the order in which they are taken (base/lock_rank.h).

#pragma once

#include "base/lock_rank.h"

namespace kvmiommu::mm::lock_order {

inline constexpr LockRank kContext{Layer::mm, 4, "mm_struct.context"};
inline constexpr LockRank kAddressSpace{Layer::mm, 3, "mm_struct.mmap_lock"};
inline constexpr LockRank kBacking{Layer::mm, 2, "mm.backing"};
inline constexpr LockRank kPhysicalMemory{Layer::mm, 1, "mm.frames"};

}  // namespace kvmiommu::mm::lock_order
