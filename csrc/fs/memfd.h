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

    Result<std::int64_t> read(Task& task, UserBuffer to) override EXCLUDES(position_mutex_);
    Result<std::int64_t> write(Task& task, UserBuffer from) override EXCLUDES(position_mutex_);
    Result<std::int64_t> pread(Task& task, UserBuffer to, std::uint64_t offset) override;
    /// Makes the file longer where it must. ENOSPC when RAM is out.
    Result<std::int64_t> pwrite(Task& task, UserBuffer from, std::uint64_t offset) override
        EXCLUDES(inode_mutex_);
    std::uint64_t longest() const override;
    Result<FileMapping> mmap(Task& task, const FileMapRequest& request) override;

  private:
    Ref<mm::Shmem> pages_{"memfd"};
    // Both are held over the copy from or to the process, as f_pos_lock and i_rwsem are; the second
    // keeps writes and cuts of the file apart. Order: position_mutex_, inode_mutex_, mm.
    Mutex position_mutex_{lock_order::kPosition};
    Mutex inode_mutex_{lock_order::kInode};
    std::uint64_t position_ GUARDED_BY(position_mutex_) = 0;
};

}  // namespace kvmiommu::fs
