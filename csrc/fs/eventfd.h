// SPDX-License-Identifier: MIT
//
// eventfd(2): a counter that can be waited for. The kernel signals interrupts to user space with
// it. Rules: fs/eventfd.c.

#pragma once

#include <cstdint>
#include <vector>

#include "fs/deferred_work.h"
#include "fs/file.h"
#include "fs/lock_order.h"
#include "fs/sleeper.h"

namespace kvmiommu::fs {

class EventFd final : public File {
  public:
    /// `flags`: EFD_SEMAPHORE, EFD_NONBLOCK, EFD_CLOEXEC.
    EventFd(Kernel& kernel, std::uint64_t count, int flags);

    /// Returns 8.
    /// EINVAL the buffer has less than 8 bytes
    /// EAGAIN the counter is 0 and does not block
    /// EINTR interrupted while the counter was 0
    /// EFAULT the buffer cannot be written; the count has been taken
    Result<std::int64_t> read(Task& task, UserBuffer to) override EXCLUDES(mutex_);
    /// Returns 8.
    /// EINVAL the buffer does not have 8 bytes
    /// EFAULT the buffer cannot be read
    /// EINVAL the value is 2^64 - 1
    /// EAGAIN the sum would pass 2^64 - 2, and the counter does not block
    /// EINTR interrupted while the sum would pass
    Result<std::int64_t> write(Task& task, UserBuffer from) override EXCLUDES(mutex_);
    std::uint32_t poll() override EXCLUDES(mutex_);
    void watch(Waiter& waiter) override EXCLUDES(mutex_);
    void unwatch(Waiter& waiter) override EXCLUDES(mutex_);

    /// eventfd_signal(): adds 1, up to 2^64 - 1. It only queues work, so the caller may hold a lock
    /// (DeferredWork::queue).
    void signal() EXCLUDES(mutex_);
    /// Queues `listener` whenever the counter becomes non-zero, and resets the counter as a read
    /// does; also now if the counter is not 0. (In the kernel an entry of the wait queue:
    /// drivers/vfio/virqfd.c.) It only queues work, as signal().
    void listen(Ref<Work> listener) EXCLUDES(mutex_);
    /// `listener` is not queued any more. What is queued already still runs.
    void unlisten(const Work& listener) EXCLUDES(mutex_);
    std::uint64_t count() const EXCLUDES(mutex_);

  private:
    using Listeners = std::vector<Ref<Work>>;

    void wake() REQUIRES(mutex_);
    // Resets the counter for the listeners, if there are any, and returns them to be queued.
    Listeners take_for_listeners() REQUIRES(mutex_);
    void queue(Listeners listeners) EXCLUDES(mutex_);
    Result<> wait(Task& task, Sleeper& sleeper) EXCLUDES(mutex_);

    DeferredWork& deferred_work_;
    const bool semaphore_;
    mutable Mutex mutex_{lock_order::kEventFd};
    std::uint64_t count_ GUARDED_BY(mutex_);
    std::vector<Waiter*> waiters_ GUARDED_BY(mutex_);
    Listeners listeners_ GUARDED_BY(mutex_);
};

}  // namespace kvmiommu::fs
