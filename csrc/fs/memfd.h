// SPDX-License-Identifier: MIT
//
// memfd_create(2): a file of memory (mm/memfd.c, mm/shmem.c), without seals.

#pragma once

#include <cstdint>

#include "fs/file.h"
#include "fs/lock_order.h"
#include "mm/shmem.h"

namespace kvmiommu::fs {

class MemFd final : public File {
  public:
    explicit MemFd(Kernel& kernel);

    /// ftruncate(): the size in bytes.
    void resize(std::uint64_t bytes) EXCLUDES(inode_mutex_);
    std::uint64_t size() const { return pages_->size(); }

    /// The four return the bytes moved, which are fewer if a byte in between cannot be accessed.
    /// EFAULT the first byte of the buffer cannot be accessed
    /// ENOMEM a read of a hole, and RAM is exhausted
    /// ENOSPC a write, and RAM is exhausted
    Result<std::int64_t> read(Task& task, UserBuffer to) override EXCLUDES(position_mutex_);
    Result<std::int64_t> write(Task& task, UserBuffer from) override EXCLUDES(position_mutex_);
    Result<std::int64_t> pread(Task& task, UserBuffer to, std::uint64_t offset) override;
    /// Extends the file if needed.
    Result<std::int64_t> pwrite(Task& task, UserBuffer from, std::uint64_t offset) override
        EXCLUDES(inode_mutex_);
    std::uint64_t longest() const override;
    /// Does not fail.
    Result<FileMapping> mmap(Task& task, const FileMapRequest& request) override;

  private:
    Ref<mm::Shmem> pages_{"memfd"};
    // Held across the copy from or to the process, as f_pos_lock and i_rwsem are. inode_mutex_
    // serializes writes and truncation.
    Mutex position_mutex_{lock_order::kPosition};
    Mutex inode_mutex_{lock_order::kInode};
    std::uint64_t position_ GUARDED_BY(position_mutex_) = 0;
};

}  // namespace kvmiommu::fs
