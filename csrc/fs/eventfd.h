// SPDX-License-Identifier: MIT
//
// eventfd(2): a counter to wait for, and how the kernel tells user space of an interrupt.
// Rules: fs/eventfd.c.

#pragma once

#include <cstdint>
#include <vector>

#include "fs/file.h"
#include "fs/sleeper.h"

namespace kvmiommu::fs {

class EventFd final : public File {
  public:
    /// `flags`: EFD_SEMAPHORE, EFD_NONBLOCK, EFD_CLOEXEC.
    EventFd(Kernel& kernel, std::uint64_t count, int flags);

    /// 8 bytes. EINVAL for less, EAGAIN an empty counter that does not block, EINTR.
    Result<std::int64_t> read(Task& task, UserBuffer to) override EXCLUDES(mutex_);
    /// 8 bytes. EINVAL for less or more, or for 2^64-1, EAGAIN a full counter that does not block,
    /// EINTR.
    Result<std::int64_t> write(Task& task, UserBuffer from) override EXCLUDES(mutex_);
    std::uint32_t poll() override EXCLUDES(mutex_);

    /// eventfd_signal(): counts one more; at its end the counter stays there.
    void signal() EXCLUDES(mutex_);
    std::uint64_t count() const EXCLUDES(mutex_);

  private:
    void wake() REQUIRES(mutex_);
    Result<> wait(Task& task, Sleeper& sleeper) EXCLUDES(mutex_);

    const bool semaphore_;
    mutable Mutex mutex_;
    std::uint64_t count_ GUARDED_BY(mutex_);
    std::vector<Sleeper*> sleepers_ GUARDED_BY(mutex_);
};

}  // namespace kvmiommu::fs
