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
#include "fs/sleeper.h"

namespace kvmiommu::fs {

class Task;

class SleepLock {
  public:
    SleepLock() = default;
    SleepLock(const SleepLock&) = delete;
    SleepLock& operator=(const SleepLock&) = delete;

    // A thread may hold it several times: nobody waits for what it does itself, such as a model
    // that calls what is being called on its behalf.

    /// EINTR: the task exits, or its face ends the sleep.
    Result<> lock(Task& task) EXCLUDES(mutex_);
    /// For what cannot fail.
    void lock() EXCLUDES(mutex_);
    void unlock() EXCLUDES(mutex_);

  private:
    enum State : std::uint32_t { kFree, kHeld, kWanted };

    bool try_lock();
    bool mine() const {
        return owner_.load(std::memory_order_relaxed) == std::this_thread::get_id();
    }
    // False: it is ours now. True: `sleeper` stands in the list.
    bool want(Sleeper& sleeper) EXCLUDES(mutex_);
    void leave(Sleeper& sleeper) EXCLUDES(mutex_);

    std::atomic<State> state_{kFree};
    std::atomic<std::thread::id> owner_{};
    unsigned depth_ = 0;  // the owner's
    Mutex mutex_;
    std::vector<Sleeper*> sleepers_ GUARDED_BY(mutex_);
};

}  // namespace kvmiommu::fs
