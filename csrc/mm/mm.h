// SPDX-License-Identifier: MIT
//
// mm: the machine's memory, the address spaces of its processes, pins and charges (mm/).
//
// Vocabulary
//   frame           4 KiB of RAM on every machine; a 64 KiB page is sixteen of them
//   slot            a frame's place in the RAM file; used in this folder only
//   frame number    a frame's label, which devices and page tables use; within one fragment
//                   consecutive slots have consecutive labels
//   fragment        the longest physically contiguous block of a machine
//   PhysicalMemory  the RAM: frames, their references and pins
//   DmaInFlight     an access of a device, during which no frame that is freed is reused
//   AddressSpace    mm_struct: user addresses, copies, pins, locked memory
//   Backing         the pages of a file, for mappings that are not private memory
//   HeldFrames      frames with a reference to each
//   ShownFrames     the frames that the host maps at a process's addresses
//   HostMappings    the number of host mappings of all machines, and its limit
//   Shmem           pages of a memfd or of shared anonymous memory
//   UserPtr<T>      a user's pointer; never dereferenced, only copied through
//   LockedMemory    an account of pages with a limit (VmLck, VmPin, a user's)
//   Charge          pages that are charged to one account, until it is destroyed
//   Pin             one run of pages that is pinned, until it is destroyed
//   Pins            the runs that one owner has pinned, by index, and their charge
//
// Owners
//   An AddressSpace owns its mappings; a mapping holds references to its Backing and to each frame
//   that the host maps for it. A file that is truncated keeps no reference to the rest. A Pin holds
//   frames alone: it outlives the mapping, the file and the process. A Charge holds no reference to
//   its account: its owner does. PhysicalMemory belongs to the system and outlives everything.
//
// Locks: lock_order.h. No other folder is called with a lock held.

#pragma once

#include "mm/address_space.h"
#include "mm/backing.h"
#include "mm/charge.h"
#include "mm/dma_in_flight.h"
#include "mm/locked_memory.h"
#include "mm/physical_memory.h"
#include "mm/pin.h"
#include "mm/pins.h"
#include "mm/user_ptr.h"
