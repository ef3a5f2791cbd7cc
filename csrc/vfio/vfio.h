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
//   DeviceOps      what a driver makes of its device (vfio_device_ops)
//   ProbeDevice    an emulated device, which pins pages itself
//   PciDevice      what vfio-pci makes of a function: its requests and regions
//   PciConfig      configuration space as it is shown: part hardware, part kept here
//   PciIrqs        eventfds in the place of interrupt handlers
//   PciRegions     BARs read, written and mapped
//   Virqfd         something done at each signal of an eventfd
//   IommuDriver    what SET_IOMMU chooses from: type1, noiommu (vfio_iommu_driver_ops)
//   IommuBackend   what a chosen driver keeps for one container (iommu_data)
//   Type1          the backend of VFIO_TYPE1_IOMMU and VFIO_TYPE1v2_IOMMU (vfio_iommu)
//   VfioDma        one of its mappings (vfio_dma), VfioPfn a page of it that drivers have pinned
//   DmaBitmap      the dirty pages of one mapping
//   external user  who holds a group besides its descriptors: KVM
//
// Owners
//   The Module owns Groups and Devices as long as the machine lives. A container lives while its
//   file is open or a group is in it; its backend while a group is in it. The first open of a
//   device holds the group's file and counts as a user of the container, so the group stays where
//   it is; a close of the group's descriptor then closes nothing.
//
// Lock order: Group, Container, a backend's own lock, then those of iommu and mm. Of a ProbeDevice:
// who pins or unpins holds its first lock, in front of all these, while the container is called;
// its second one, for its registers, is never held then. Of a PCI device: PciDevice, PciConfig,
// PciIrqs, then those of pci. A File is never dropped with one of them held, and a device's model
// never called.

#pragma once

#include "vfio/container.h"
#include "vfio/device.h"
#include "vfio/group.h"
#include "vfio/iommu_driver.h"
#include "vfio/module.h"
