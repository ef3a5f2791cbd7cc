// SPDX-License-Identifier: MIT
//
// Descriptor numbers to Files (fs/file.c).

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

    /// The file of a descriptor, or EBADF.
    Result<Ref<File>> get(int fd) const EXCLUDES(mutex_);

    /// Gives the lowest free number below `limit` to `file`, or EMFILE; EBADF once closed.
    Result<int> install(Ref<File> file, std::uint64_t limit) EXCLUDES(mutex_);

    /// The two halves of install(), for calls that may fail between: get_unused_fd_flags() takes
    /// a number that names no file yet, fd_install() gives it one, put_unused_fd() takes it back.
    Result<int> get_unused_fd(std::uint64_t limit) EXCLUDES(mutex_);
    void fd_install(int fd, Ref<File> file) EXCLUDES(mutex_);
    void put_unused_fd(int fd) EXCLUDES(mutex_);

    /// Takes the file out of the table, or EBADF. The caller drops it.
    Result<Ref<File>> remove(int fd) EXCLUDES(mutex_);
    /// Closes everything, in the order of the numbers; nothing can be opened any more.
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
