// SPDX-License-Identifier: MIT
//
// A mutex that a call may hold for long, also while a device's model runs. Its waiters sleep, and
// their sleep can be interrupted (include/linux/mutex.h: mutex_lock_killable).

#pragma once

#include <atomic>
#include <cstdint>
#include <thread>
#include <vector>

#include "base/base.h"
#include "fs/lock_order.h"
#include "fs/sleeper.h"

namespace kvmiommu::fs {

class Task;

class SleepLock {
  public:
    SleepLock() = default;
    SleepLock(const SleepLock&) = delete;
    SleepLock& operator=(const SleepLock&) = delete;

    // Recursive, because a device's model may make the same call that is calling it. A thread that
    // holds one SleepLock never waits for another: models take them in any order, so its owner may
    // be waiting for the first.

    /// mutex_lock_killable().
    /// EDEADLK another thread holds it, and this one holds another SleepLock
    /// EINTR the task exits, or its face ends the sleep
    Result<> lock_killable(Task& task) EXCLUDES(mutex_) { return lock(task, true); }
    /// mutex_lock_interruptible().
    /// EDEADLK another thread holds it, and this one holds another SleepLock
    /// EINTR the task is interrupted or exits, or its face ends the sleep
    Result<> lock_interruptible(Task& task) EXCLUDES(mutex_) { return lock(task, false); }
    /// For callers that cannot fail. False: another thread holds it, and this one holds another.
    bool lock() EXCLUDES(mutex_);
    /// False: another thread holds it. Does not wait.
    bool try_lock();
    void unlock() EXCLUDES(mutex_);
    /// Does the caller, who holds it, hold it once?
    bool held_once() const { return depth_ == 0; }

  private:
    enum State : std::uint32_t { kFree, kHeld, kWanted };

    Result<> lock(Task& task, bool killable) EXCLUDES(mutex_);
    void take();
    bool mine() const {
        return owner_.load(std::memory_order_relaxed) == std::this_thread::get_id();
    }
    // False: the caller has the lock. True: `sleeper` is in the list of waiters.
    bool want(Sleeper& sleeper) EXCLUDES(mutex_);
    void leave(Sleeper& sleeper) EXCLUDES(mutex_);

    std::atomic<State> state_{kFree};
    std::atomic<std::thread::id> owner_{};
    unsigned depth_ = 0;  // recursive holds of the owner
    Mutex mutex_{lock_order::kSleepLock};
    std::vector<Sleeper*> sleepers_ GUARDED_BY(mutex_);
};

}  // namespace kvmiommu::fs
