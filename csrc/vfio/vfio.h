// SPDX-License-Identifier: MIT
//
// vfio: containers, groups and devices in the hands of user space.
//
// Vocabulary
//   Module         VFIO as loaded: its options, groups and IOMMU drivers
//   Group          an IOMMU group with devices bound to VFIO drivers (vfio_group)
//   GroupFile      the one open /dev/vfio/N of a group
//   Container      what groups share: an IOMMU driver and its mappings (vfio_container)
//   Device         a device bound to a VFIO driver (vfio_device)
//   DeviceFile     one open of it (vfio_device_file)
//   DeviceSet      devices that are opened, closed and reset one at a time (vfio_device_set)
//   DeviceOps      what a driver makes of its device (vfio_device_ops)
//   DmaUser        a device whose driver pins pages itself, and unpins them before an unmap
//   DmaAccess      how it pins them and moves data: the container's, while the device is open
//   Virqfd         something done at each signal of an eventfd
//   IommuDriver    what SET_IOMMU chooses from (vfio_iommu_driver_ops)
//   IommuBackend   what a chosen driver keeps for one container (iommu_data)
//   external user  who holds a group besides its descriptors: KVM
//
// Rooms, which only the machine includes: it registers the drivers of each
//   type1/   VFIO_TYPE1_IOMMU and VFIO_TYPE1v2_IOMMU: Type1 (vfio_iommu), VfioDma, DmaBitmap
//   spapr/   VFIO_SPAPR_TCE_IOMMU and its version 2, EEH
//   pci/     vfio-pci: PciDevice, PciConfig, PciRegions, PciIrqs
//   mdev/    ProbeDevice, an emulated device that pins pages
//
// Owners
//   The Module owns Groups and Devices as long as the machine lives. A container lives while its
//   file is open or a group is in it; its backend while a group is in it. The first open of a
//   device holds the group's file and counts as a user of the container, so the group stays where
//   it is; a close of the group's descriptor then closes nothing.
//
// Locks: lock_order.h. No reference to a File is put, and no model of a device is called, with one
// held.

#pragma once

#include "vfio/container.h"
#include "vfio/device.h"
#include "vfio/device_file.h"
#include "vfio/device_set.h"
#include "vfio/group.h"
#include "vfio/iommu_driver.h"
#include "vfio/module.h"
