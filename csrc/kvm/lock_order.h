// SPDX-License-Identifier: MIT
//
// The ranks of this folder's locks, in the order in which they are taken (base/lock_rank.h).

#pragma once

#include "base/lock_rank.h"

namespace kvmiommu::kvm::lock_order {

inline constexpr LockRank kDevice{Layer::kvm, 4, "kvm_device"};
inline constexpr LockRank kVm{Layer::kvm, 2, "kvm.lock"};
inline constexpr LockRank kQueue{Layer::kvm, 0, "kvm_vcpu.queue"};

}  // namespace kvmiommu::kvm::lock_order
