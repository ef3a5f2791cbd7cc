// SPDX-License-Identifier: MIT
//
// The ranks of this folder's locks, in the order in which they are taken (base/lock_rank.h).

#pragma once

#include "base/lock_rank.h"

namespace kvmiommu::fs::lock_order {

inline constexpr LockRank kPosition{Layer::fs, 8, "file.f_pos_lock"};
inline constexpr LockRank kInode{Layer::fs, 7, "inode.i_rwsem"};
inline constexpr LockRank kEventFd{Layer::fs, 4, "eventfd_ctx.wqh"};
inline constexpr LockRank kTask{Layer::fs, 3, "task_struct.alloc_lock"};
inline constexpr LockRank kFdTable{Layer::fs, 2, "files_struct.file_lock"};
inline constexpr LockRank kDeviceNodes{Layer::fs, 2, "device nodes"};
inline constexpr LockRank kUserAccounts{Layer::fs, 1, "user accounts"};
inline constexpr LockRank kSleepLock{Layer::fs, 1, "waiters of a sleep lock"};
inline constexpr LockRank kSleeper{Layer::fs, 0, "a sleeper"};

}  // namespace kvmiommu::fs::lock_order
