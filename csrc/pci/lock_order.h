// SPDX-License-Identifier: MIT
//
// The ranks of this folder's locks, in the order in which they are taken (base/lock_rank.h).

#pragma once

#include "base/lock_rank.h"

namespace kvmiommu::pci::lock_order {

inline constexpr LockRank kModel{Layer::pci, 2, "a device model"};
inline constexpr LockRank kMsixTable{Layer::pci, 1, "msix table"};
inline constexpr LockRank kInterrupts{Layer::pci, 0, "pci_dev.interrupts"};
inline constexpr LockRank kConfigSpace{Layer::pci, 0, "pci_dev.config"};

}  // namespace kvmiommu::pci::lock_order
