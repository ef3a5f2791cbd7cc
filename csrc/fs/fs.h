// SPDX-License-Identifier: MIT
//
// fs: tasks, their descriptors and files, and the system calls (fs/, kernel/).
//
// Vocabulary
//   Kernel       what all parts of one machine share: its memory, its nodes, its trace
//   Task         the caller: credentials, limits, address space, descriptors (task_struct)
//   File         an open file (struct file); dup()ed descriptors share one File
//   Work         work that is deferred to the end of a call (work_struct)
//   FdTable      a task's descriptors (files_struct)
//   UserAccount  the locked memory of all tasks of one user (user_struct)
//   DeviceNodes  the device nodes under /dev
//   IoctlRow     one request that a kind of file handles: its number, its struct, its function
//   sys_*        the system calls, by the names of the kernel's functions
//
// Owners
//   A Task owns its FdTable and its address space. Descriptors, mappings and other files hold
//   references to a File, which is released when the last one is put; so a reference is never put
//   with a lock held. The Kernel outlives its tasks and files.
//
// An eventfd may be signalled or listened to with a lock held, because the reaction is Work.
//
// Locks: lock_order.h. With the lock of a FdTable, a Task or the DeviceNodes held no other object
// is called, and no call sleeps with any lock held.

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
