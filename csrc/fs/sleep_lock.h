// SPDX-License-Identifier: MIT
//
// A mutex that a call may hold for long, also while a device's model runs: who wants it sleeps, and
// its sleep can be ended (include/linux/mutex.h: mutex_lock_killable).

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

    // A thread may hold it several times, for a device's model may call what is being called on its
    // behalf. A thread that holds one does not wait for another, whose owner may be waiting for
    // the first: the order is the models', and nobody knows it.

    /// mutex_lock_killable().
    /// EINTR   the task exits, or its face ends the sleep
    /// EDEADLK another thread holds it, and this one holds another
    Result<> lock_killable(Task& task) EXCLUDES(mutex_) { return lock(task, true); }
    /// mutex_lock_interruptible(). The same, and
    /// EINTR   the task is interrupted
    Result<> lock_interruptible(Task& task) EXCLUDES(mutex_) { return lock(task, false); }
    /// For what cannot fail. False: another thread holds it, and this one holds another.
    bool lock() EXCLUDES(mutex_);
    /// False: another thread holds it.
    bool try_lock();
    void unlock() EXCLUDES(mutex_);
    /// Does the owner hold it once? Asked by the owner.
    bool held_once() const { return depth_ == 0; }

  private:
    enum State : std::uint32_t { kFree, kHeld, kWanted };

    Result<> lock(Task& task, bool killable) EXCLUDES(mutex_);
    void take();
    bool mine() const {
        return owner_.load(std::memory_order_relaxed) == std::this_thread::get_id();
    }
    // False: it is ours now. True: `sleeper` stands in the list.
    bool want(Sleeper& sleeper) EXCLUDES(mutex_);
    void leave(Sleeper& sleeper) EXCLUDES(mutex_);

    std::atomic<State> state_{kFree};
    std::atomic<std::thread::id> owner_{};
    unsigned depth_ = 0;  // how often the owner has it beside the first time
    Mutex mutex_{lock_order::kSleepLock};
    std::vector<Sleeper*> sleepers_ GUARDED_BY(mutex_);
};

}  // namespace kvmiommu::fs
