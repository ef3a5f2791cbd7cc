// SPDX-License-Identifier: MIT
//
// A task's table of descriptors (fs/file.c: files_struct).

#pragma once

#include <cstdint>
#include <vector>

#include "base/base.h"
#include "fs/file.h"
#include "fs/lock_order.h"

namespace kvmiommu::fs {

class FdTable {
  public:
    FdTable() = default;
    FdTable(const FdTable&) = delete;
    FdTable& operator=(const FdTable&) = delete;
    ~FdTable() { close_all(); }

    /// The file of a descriptor.
    /// EBADF the descriptor is not open
    Result<Ref<File>> get(int fd) const EXCLUDES(mutex_);

    /// get_unused_fd() and fd_install() in one.
    /// and what get_unused_fd() says
    Result<int> install(Ref<File> file, std::uint64_t limit) EXCLUDES(mutex_);

    /// get_unused_fd_flags(): reserves the lowest free number, which must be below `limit`.
    /// EBADF the table is closed
    /// EMFILE there is no such number
    Result<int> get_unused_fd(std::uint64_t limit) EXCLUDES(mutex_);
    /// Opens a reserved number. In a closed table the file is put.
    void fd_install(int fd, Ref<File> file) EXCLUDES(mutex_);
    /// Frees a reserved number.
    void put_unused_fd(int fd) EXCLUDES(mutex_);

    /// Removes a descriptor; the caller puts its file.
    /// EBADF the descriptor is not open
    Result<Ref<File>> remove(int fd) EXCLUDES(mutex_);
    /// Closes all descriptors in the order of their numbers, and the table for good.
    void close_all() EXCLUDES(mutex_);

    std::uint64_t open_count() const EXCLUDES(mutex_);

  private:
    struct Slot {
        Ref<File> file{"a descriptor"};
        bool taken = false;
    };

    mutable Mutex mutex_{lock_order::kFdTable};
    std::vector<Slot> slots_ GUARDED_BY(mutex_);
    bool closed_ GUARDED_BY(mutex_) = false;
};

}  // namespace kvmiommu::fs
