// SPDX-License-Identifier: MIT
//
// The ranks of this folder's locks, in the order in which they are taken (base/lock_rank.h).

#pragma once

#include "base/lock_rank.h"

namespace kvmiommu::vfio::lock_order {

inline constexpr LockRank kPosition{Layer::vfio, 12, "file.f_pos_lock of a device"};
inline constexpr LockRank kGroup{Layer::vfio, 11, "vfio_group.group_lock"};
inline constexpr LockRank kDeviceSet{Layer::vfio, 10, "closes left to a vfio_device_set"};
inline constexpr LockRank kContainer{Layer::vfio, 9, "vfio_container.group_lock"};
inline constexpr LockRank kProbePins{Layer::vfio, 8, "who pins for the probe device"};
inline constexpr LockRank kBackend{Layer::vfio, 7, "vfio_iommu.lock"};
inline constexpr LockRank kPciDevice{Layer::vfio, 6, "vfio_pci_core_device"};
inline constexpr LockRank kPciConfig{Layer::vfio, 5, "vfio_pci_core_device.memory_lock"};
inline constexpr LockRank kPciIrqs{Layer::vfio, 4, "vfio_pci_core_device.igate"};
inline constexpr LockRank kProbeDevice{Layer::vfio, 2, "registers of the probe device"};
inline constexpr LockRank kVirqfd{Layer::vfio, 0, "virqfd"};

}  // namespace kvmiommu::vfio::lock_order
