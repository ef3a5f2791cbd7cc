// SPDX-License-Identifier: MIT
//
// The order in which this folder's locks are taken, the first one first (base/lock_rank.h).

#pragma once

#include "base/lock_rank.h"

namespace kvmiommu::machine::lock_order {

inline constexpr LockRank kProcesses{Layer::machine, 0, "system.processes"};

}  // namespace kvmiommu::machine::lock_order
