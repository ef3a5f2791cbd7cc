// SPDX-License-Identifier: MIT
//
// vfio: containers, groups and devices for user space (drivers/vfio; Documentation/driver-api/
// vfio.rst).
//
// Vocabulary
//   Module         VFIO as loaded: its options, groups and IOMMU drivers
//   Group          an IOMMU group with devices bound to VFIO drivers (vfio_group)
//   GroupFile      the one open /dev/vfio/N of a group
//   Container      what groups share: an IOMMU driver and its mappings (vfio_container)
//   Device         a device bound to a VFIO driver (vfio_device)
//   DeviceFile     one open of it (vfio_device_file)
//   DeviceSet      devices that are opened, closed and reset one at a time (vfio_device_set)
//   DeviceOps      the operations of a driver of devices (vfio_device_ops)
//   DmaUser        an emulated device, whose driver unpins its pages before an unmap
//   DmaAccess      pins pages and moves data for it: the container's, while the device is open
//   Virqfd         an action at each signal of an eventfd (virqfd)
//   IommuDriver    what SET_IOMMU chooses from (vfio_iommu_driver_ops)
//   IommuBackend   what a driver keeps for one container (iommu_data)
//   external user  holds a group beside its descriptors: KVM
//
// Subfolders, which only machine includes: it registers their drivers
//   type1/   VFIO_TYPE1_IOMMU and VFIO_TYPE1v2_IOMMU: Type1 (vfio_iommu), VfioDma, DmaBitmap
//   spapr/   VFIO_SPAPR_TCE_IOMMU and its version 2, EEH
//   pci/     vfio-pci: PciDevice, PciConfig, PciRegions, PciIrqs
//   mdev/    ProbeDevice, an emulated device that pins pages
//
// Owners
//   The Module owns Groups and Devices until the machine ends. A container exists while its file
//   is open or a group is in it; its backend while a group is in it. An open device holds a
//   reference to the group's file and is a user of the container: the group stays in the
//   container, also when its descriptor is closed.
//
// Locks: lock_order.h. No reference to a File is put and no device's model is called with a lock
// held.

#pragma once

#include "vfio/container.h"
#include "vfio/device.h"
#include "vfio/device_file.h"
#include "vfio/device_set.h"
#include "vfio/group.h"
#include "vfio/iommu_driver.h"
#include "vfio/module.h"
