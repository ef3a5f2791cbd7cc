// SPDX-License-Identifier: MIT
//
// spapr: I/O on POWER. Windows of TCEs (translation control entries), memory that is registered for
// them, and tables of guests.
//
// Vocabulary
//   Tce               an entry: an address, and the rights to read and to write
//   HardwareTable     the TCEs of one window, which a host bridge walks (struct iommu_table)
//   TableGroup        the windows of one partitionable endpoint, which is an IOMMU group
//                     (struct iommu_table_group): PowernvTableGroup, PseriesTableGroup
//   PowernvOps, PseriesOps
//                     the IOMMU driver of bare metal and of a guest of a hypervisor
//   PagingDomain      windows as a paging domain of the IOMMU core, which Linux does not have
//   RegisteredMemory  memory of a process that is pinned beforehand, region by region
//                     (mm_iommu_table_group_mem_t)
//   GuestTable        the TCEs that a guest sees for one bus number (liobn), kept by KVM
//                     (struct kvmppc_spapr_tce_table)
//   LinkedTable       a bus of a guest that is linked to the table of a group, as proposed in 2013
//   GuestTables       those of one virtual machine
//
// Owners
//   A HardwareTable is held by the container that created it, by each group whose window it is and
//   by each GuestTable that it is linked to. A registered region is held by the containers that
//   registered it, and pinned until nothing is mapped from it. The regions of a process belong to
//   its address space. A GuestTable is held by its descriptor and by the mappings of it.
//
// Locks: lock_order.h. GuestTables are guarded by the virtual machine's. TCEs are exchanged without
// a lock.

#pragma once

#include "spapr/guest_table.h"
#include "spapr/hardware_table.h"
#include "spapr/hypercalls.h"
#include "spapr/paging_domain.h"
#include "spapr/powernv.h"
#include "spapr/proposals/hypercalls_2013.h"
#include "spapr/proposals/linked_table.h"
#include "spapr/pseries.h"
#include "spapr/registered_memory.h"
#include "spapr/table_group.h"
#include "spapr/table_state.h"
#include "spapr/tce_ops.h"
