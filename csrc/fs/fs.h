// SPDX-License-Identifier: MIT
//
// fs: tasks, their descriptors, and the files that descriptors name.
//
// Vocabulary
//   Kernel       what every part of one machine shares: its memory, its nodes, its trace
//   Task         who makes a call: credentials, limits, address space, descriptors (task_struct)
//   File         an open file (struct file); dup()ed descriptors name one File
//   Work         something that is done when the call that led to it ends (work_struct)
//   FdTable      descriptor numbers to Files (files_struct)
//   UserAccount  what the tasks of one user have locked together (user_struct)
//   DeviceNodes  the names under /dev and what opening them gives
//   IoctlRow     one request that a kind of file handles: its number, its struct, its function
//   sys_*        the system calls, as the kernel's own functions are called
//
// Owners
//   A Task owns its FdTable and its address space; a descriptor, a mapping or another file holds
//   a File. A File that lost its last reference is released at once, so a reference is never
//   dropped with a lock held. The Kernel outlives its tasks and files.
//
// An eventfd may be signalled, or listened to, with a lock of its user held: what that sets off is
// Work. Nothing sleeps with a lock held.
//
// Locks: lock_order.h. Nothing is called with that of a FdTable, a Task or the DeviceNodes held,
// and no call sleeps with any.

#pragma once

#include "fs/credentials.h"
#include "fs/deferred_work.h"
#include "fs/device_nodes.h"
#include "fs/eventfd.h"
#include "fs/fd_table.h"
#include "fs/file.h"
#include "fs/ioctl.h"
#include "fs/kernel.h"
#include "fs/memfd.h"
#include "fs/syscalls.h"
#include "fs/task.h"
#include "fs/user_account.h"
