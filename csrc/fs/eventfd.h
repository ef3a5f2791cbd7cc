// SPDX-License-Identifier: MIT
//
// eventfd(2): a counter to wait for, and how the kernel reports an interrupt to user space.
// Rules: fs/eventfd.c.

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

    /// 8 bytes. EINVAL for less, EAGAIN an empty counter that does not block, EINTR.
    Result<std::int64_t> read(Task& task, UserBuffer to) override EXCLUDES(mutex_);
    /// 8 bytes. EINVAL for less or more, or for 2^64-1, EAGAIN a full counter that does not block,
    /// EINTR.
    Result<std::int64_t> write(Task& task, UserBuffer from) override EXCLUDES(mutex_);
    std::uint32_t poll() override EXCLUDES(mutex_);

    /// eventfd_signal(): counts one more; at its end the counter stays there. It calls nobody, so
    /// who signals may hold a lock of its own (DeferredWork::queue).
    void signal() EXCLUDES(mutex_);
    /// From now on `listener` is queued whenever something is counted, which it takes in the place
    /// of a reader; and once now when something has been counted already. (In the kernel an entry
    /// of the wait queue: drivers/vfio/virqfd.c.) It calls nobody, as signal().
    void listen(Ref<Work> listener) EXCLUDES(mutex_);
    /// What was queued before is still run.
    void unlisten(const Work& listener) EXCLUDES(mutex_);
    std::uint64_t count() const EXCLUDES(mutex_);

  private:
    using Listeners = std::vector<Ref<Work>>;

    void wake() REQUIRES(mutex_);
    // What has been counted goes to the listeners, if there are any: they are to be queued.
    Listeners take_for_listeners() REQUIRES(mutex_);
    void queue(Listeners listeners) EXCLUDES(mutex_);
    Result<> wait(Task& task, Sleeper& sleeper) EXCLUDES(mutex_);

    DeferredWork& deferred_work_;
    const bool semaphore_;
    mutable Mutex mutex_{lock_order::kEventFd};
    std::uint64_t count_ GUARDED_BY(mutex_);
    std::vector<Sleeper*> sleepers_ GUARDED_BY(mutex_);
    Listeners listeners_ GUARDED_BY(mutex_);
};

}  // namespace kvmiommu::fs
