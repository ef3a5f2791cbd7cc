// SPDX-License-Identifier: MIT
//
// What waits for a file or a lock (kernel/sched/wait.c: wait_queue_entry). A Sleeper, a sleeping
// call, is on the thread's stack and in two lists: that of what it waits for, and that of its task.
// Each wakes it with its own mutex held, and it is removed from the list under that mutex, so it
// exists then.

#pragma once

#include <chrono>
#include <cstdint>
#include <utility>

#include "base/mutex.h"
#include "fs/lock_order.h"

namespace kvmiommu::fs {

class Waiter {
  public:
    Waiter() = default;
    Waiter(const Waiter&) = delete;
    Waiter& operator=(const Waiter&) = delete;
    virtual ~Waiter() = default;
    /// What it waits for may have happened. The lock of an object of this folder may be held.
    virtual void wake() = 0;
};

/// How a sleep ended.
enum class Wakeup : std::uint8_t {
    woken,
    interrupted,  // by a signal, or because the task exits
    timed_out,
};

class Sleeper final : public Waiter {
  public:
    /// Returns after wake(), also if that was called before.
    void sleep() EXCLUDES(mutex_) {
        const Lock lock(mutex_);
        while (!woken_) {
            changed_.wait(mutex_);
        }
        woken_ = false;
    }
    /// For a SleepPolicy: the same for at most `slice`; it may return early. True: woken.
    bool sleep_for(std::chrono::nanoseconds slice) EXCLUDES(mutex_) {
        const Lock lock(mutex_);
        if (!woken_) {
            changed_.wait_for(mutex_, slice);
        }
        return std::exchange(woken_, false);
    }
    void wake() override EXCLUDES(mutex_) {
        const Lock lock(mutex_);
        woken_ = true;
        changed_.notify_all();
    }

  private:
    Mutex mutex_{lock_order::kSleeper};
    Condition changed_;
    bool woken_ GUARDED_BY(mutex_) = false;
};

/// How the threads of a face sleep in a call. The core reads no clock and does not know the host's
/// signals: a face that does sleeps in slices and checks them in between.
class SleepPolicy {
  public:
    virtual ~SleepPolicy() = default;
    /// Sleeps until `sleeper` is woken or the face ends the sleep. Called without a lock held.
    virtual Wakeup sleep(Sleeper& sleeper) = 0;
};

}  // namespace kvmiommu::fs
