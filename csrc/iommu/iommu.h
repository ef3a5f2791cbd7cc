// SPDX-License-Identifier: MIT
//
// iommu: devices, the groups that cannot be told apart, and the address spaces they do DMA in.
//
// Vocabulary
//   iova            an I/O virtual address, what a device puts on the bus
//   Ops             a driver for one kind of IOMMU (iommu_ops); two devices with the same Ops can
//                   be asked to share a domain
//   Instance        one IOMMU of the machine, with its address width and page sizes
//   Device          what does DMA: it stands behind one Instance, in one Group
//   Group           devices that the hardware cannot isolate from each other (iommu_group)
//   Domain          an I/O address space (iommu_domain): blocked, identity, or a page table
//   pgsize_bitmap   the page sizes that a domain can map, a bit each
//   aperture        the iovas that a domain can translate
//   owner           who claimed a group's DMA: a VFIO group, an iommufd; none: the kernel's drivers
//   DmaPort         what a device does DMA through: translated access by access
//   DmaFault        an access of a device that was refused, kept in a FaultLog
//   ReservedRegion  iovas that are not to be mapped, such as the interrupt window
//   semantics       what a domain may span, and where its page sizes come from
//   Iotlb           translations that are kept of a domain until they are invalidated
//   gather          unmaps whose invalidation is still to come
//   format, walker  the bits of a page table (pgtable/vtdss.h, amdv1.h) and the one template that
//                   walks every format (pgtable/radix.h)
//   span, run       the bytes that one entry of a level stands for; the entries that a larger page
//                   of that level fills
//
// Owners
//   The machine owns Ops, Instances, Devices and Groups for as long as it lives. Whoever allocates
//   a Domain owns it, and detaches every group before it goes.
//
// Locks: lock_order.h. A Group's is held while a driver is called and while a device's access moves
// its data. Page tables take no lock: callers own disjoint ranges.

#pragma once

#include "iommu/device.h"
#include "iommu/dma_fault.h"
#include "iommu/dma_port.h"
#include "iommu/domain.h"
#include "iommu/group.h"
#include "iommu/iotlb.h"
#include "iommu/map.h"
#include "iommu/ops.h"
#include "iommu/reserved_region.h"
#include "iommu/semantics/semantics.h"
#include "iommu/semantics/shared_domain.h"
