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

/// Who takes what is counted as soon as it is counted, in the place of a reader (in the kernel an
/// entry of the wait queue: virt/kvm/eventfd.c, drivers/vfio/virqfd.c).
class EventListener : public RefCounted {
  public:
    /// Something was counted, and is taken. Called without a lock of the eventfd.
    virtual void signaled() = 0;

  protected:
    using RefCounted::RefCounted;
};

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
    /// `listener` is told from now on, and at once of what has been counted already.
    void listen(Ref<EventListener> listener) EXCLUDES(mutex_);
    void unlisten(const EventListener& listener) EXCLUDES(mutex_);
    std::uint64_t count() const EXCLUDES(mutex_);

  private:
    using Listeners = std::vector<Ref<EventListener>>;

    void wake() REQUIRES(mutex_);
    // What has been counted goes to the listeners, if there are any: they are to be told.
    Listeners take_for_listeners() REQUIRES(mutex_);
    static void tell(const Listeners& listeners);
    Result<> wait(Task& task, Sleeper& sleeper) EXCLUDES(mutex_);

    const bool semaphore_;
    mutable Mutex mutex_;
    std::uint64_t count_ GUARDED_BY(mutex_);
    std::vector<Sleeper*> sleepers_ GUARDED_BY(mutex_);
    Listeners listeners_ GUARDED_BY(mutex_);
};

}  // namespace kvmiommu::fs
