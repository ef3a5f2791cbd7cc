// SPDX-License-Identifier: MIT
//
// iommu: devices, groups of devices that cannot be isolated from each other, and the address spaces
// that they do DMA in.
//
// Vocabulary
//   iova            an I/O virtual address, what a device puts on the bus
//   Ops             a driver for one kind of IOMMU (iommu_ops); devices with the same Ops may be
//                   able to share a domain
//   Capability      what an IOMMU can do for a device (iommu_cap)
//   IommuDevice        one IOMMU of the machine, with its address width and page sizes
//   Device          what does DMA, behind one IommuDevice and in one Group
//   Group           devices that the hardware cannot isolate from each other (iommu_group)
//   Domain          an I/O address space (iommu_domain): blocked, identity, or a page table
//   pgsize_bitmap   the page sizes that a domain can map, a bit each
//   aperture        the iovas that a domain can translate
//   owner           who claimed the DMA of a group: a VFIO group, an iommufd
//   DmaOwnership    such a claim; its end releases the DMA
//   DmaPort         what a device does DMA through: translated access by access
//   DmaFault        an access of a device that was refused, kept in a FaultLog
//   Translation     where an iova leads, with which rights, and which other iovas its leaf has
//   ReservedRegion  iovas that are not to be mapped, such as the interrupt window
//   semantics       what a domain may span, and where its page sizes come from
//   Iotlb           translations that are kept of a domain until they are invalidated
//   gather          unmaps that are not invalidated yet
//   format, walker  the bits of a page table (pgtable/vtdss.h, amdv1.h) and the one template that
//                   walks every format (pgtable/radix.h)
//
// In page tables
//   table           entries of one level; the root is the table of the highest level
//   entry           one word of a table: empty, the address of a table of the next lower level, or
//                   a leaf
//   leaf            an entry that maps a page
//   level           counted from the leaves of the smallest pages, which is level 0
//   span            the bytes that one entry of a level maps, or what its table does
//   run             the entries next to each other that one leaf fills, where its page is larger
//                   than their span
//
// Owners
//   The machine owns Ops, IommuDevices, Devices and Groups for as long as it lives. Whoever
//   allocates a Domain owns it, and detaches every group before it frees the domain.
//
// Locks: lock_order.h. A Group's is held while a driver is called and while a device's access moves
// its data. Page tables take no lock: callers own disjoint ranges.

#pragma once

#include "iommu/device.h"
#include "iommu/dma_fault.h"
#include "iommu/dma_ownership.h"
#include "iommu/dma_port.h"
#include "iommu/domain.h"
#include "iommu/group.h"
#include "iommu/iotlb.h"
#include "iommu/map.h"
#include "iommu/ops.h"
#include "iommu/reserved_region.h"
#include "iommu/semantics/semantics.h"
#include "iommu/semantics/shared_domain.h"
#include "iommu/user_data.h"
