// SPDX-License-Identifier: MIT
//
// mm: the machine's memory, the address spaces of its processes, and what is pinned and charged.
//
// Vocabulary
//   frame           4 KiB of RAM on every machine; a 64 KiB page is sixteen of them
//   slot            a frame's place in the RAM file; only this folder speaks of slots
//   frame number    a frame's label, what devices and page tables see; slots that follow each
//                   other have labels that follow each other within one fragment
//   fragment        the longest physically contiguous block that a machine gives out
//   PhysicalMemory  the RAM: frames handed out, referenced, pinned
//   AddressSpace    mm_struct: user addresses, copies, pins, locked memory
//   Backing         what a mapping shows that is not private memory: a file's pages
//   HeldFrames      frames with a reference of each
//   ShownFrames     what the host shows at a process's addresses
//   HostMappings    how many mappings of the host's all machines have, and may have
//   Shmem           pages of a memfd or of shared anonymous memory
//   UserPtr<T>      a user's pointer; never dereferenced, only copied through
//   LockedMemory    an account of pages charged against a limit (VmLck, VmPin, a user's)
//   Charge          pages that are charged to one account, until it is destroyed
//   Pin             one run of pages that is pinned, until it is destroyed
//   Pins            the runs that one owner has pinned, by index, and what is charged for them
//
// Owners
//   An AddressSpace owns its mappings; a mapping holds its Backing and a reference of each frame
//   that the host shows for it. A file that is cut keeps no other. A Pin holds frames and nothing
//   else: it outlives the mapping, the file and the process. A Charge does not keep its account:
//   who owns the one keeps the other. PhysicalMemory belongs to the system and outlives all.
//
// Locks: lock_order.h. No call leaves this folder with one held.

#pragma once

#include "mm/address_space.h"
#include "mm/backing.h"
#include "mm/charge.h"
#include "mm/locked_memory.h"
#include "mm/physical_memory.h"
#include "mm/pin.h"
#include "mm/pins.h"
#include "mm/user_ptr.h"
