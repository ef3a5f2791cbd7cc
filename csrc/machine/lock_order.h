// SPDX-License-Identifier: MIT
//
// The ranks of this folder's locks, in the order in which they are taken (base/lock_rank.h).

#pragma once

#include "base/lock_rank.h"

namespace kvmiommu::machine::lock_order {

inline constexpr LockRank kProcesses{Layer::machine, 0, "system.processes"};

}  // namespace kvmiommu::machine::lock_order
