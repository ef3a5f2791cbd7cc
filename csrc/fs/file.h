// SPDX-License-Identifier: MIT
//
// struct file and its operations. An operation that a kind of file does not provide is refused as
// by the VFS (fs/read_write.c, fs/ioctl.c, mm/mmap.c).

#pragma once

#include <fcntl.h>

#include <atomic>
#include <cstdint>

#include "base/base.h"
#include "fs/sleeper.h"
#include "mm/mm.h"

namespace kvmiommu::fs {

class Kernel;
class Task;

/// Memory of the caller, for a read or a write.
struct UserBuffer {
    std::uint64_t address;
    std::uint64_t bytes;
};

struct FileMapRequest {
    std::uint64_t length;  // bytes, whole pages
    std::uint64_t offset;  // bytes, page aligned
    int protection;
    bool shared;
};

/// The pages that a file maps.
struct FileMapping {
    Ref<mm::Backing> backing;
    std::uint64_t offset;
};

class File : public RefCounted {
  public:
    /// O_ACCMODE and O_NONBLOCK.
    int flags() const { return flags_.load(std::memory_order_relaxed); }
    // Access mode 3, for files that are opened for ioctls only, is neither (OPEN_FMODE).
    bool readable() const { return ((flags() + 1) & 1) != 0; }
    bool writable() const { return ((flags() + 1) & 2) != 0; }
    bool nonblocking() const { return (flags() & O_NONBLOCK) != 0; }
    void set_nonblocking(bool on) {
        on ? flags_.fetch_or(O_NONBLOCK) : flags_.fetch_and(~O_NONBLOCK);
    }

    /// Are pread() and pwrite() more than ESPIPE (FMODE_PREAD)? They are for device nodes.
    bool positioned() const { return positioned_; }

    /// `command` is the request as the task's ABI encodes it.
    /// ENOTTY the request is unknown
    virtual Result<std::int64_t> ioctl(Task& task, std::uint32_t command, std::uint64_t argument);
    /// These four return the bytes moved.
    /// EINVAL the file does not provide it
    virtual Result<std::int64_t> read(Task& task, UserBuffer to);
    virtual Result<std::int64_t> write(Task& task, UserBuffer from);
    virtual Result<std::int64_t> pread(Task& task, UserBuffer to, std::uint64_t offset);
    virtual Result<std::int64_t> pwrite(Task& task, UserBuffer from, std::uint64_t offset);
    /// The largest offset that a mapping of it may have (s_maxbytes; EOVERFLOW beyond).
    virtual std::uint64_t longest() const { return ~std::uint64_t{0}; }
    /// The pages to be mapped.
    /// ENODEV the file cannot be mapped
    virtual Result<FileMapping> mmap(Task& task, const FileMapRequest& request);
    /// The events that would not block; by default reads and writes.
    virtual std::uint32_t poll();
    /// Wakes `waiter` whenever what poll() says may have changed, until unwatch(). For files that
    /// are always ready there is nothing to do.
    virtual void watch(Waiter&) {}
    virtual void unwatch(Waiter&) {}

  protected:
    File(Kernel& kernel, const char* kind, int flags, bool positioned);

  private:
    std::atomic<int> flags_;
    const bool positioned_;
};

}  // namespace kvmiommu::fs
