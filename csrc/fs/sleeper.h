// SPDX-License-Identifier: MIT
//
// A call that sleeps. It lives on the sleeping thread's stack and stands in two lists while it
// sleeps: of what it waits for and of its task. Each of them wakes it with its own mutex held, so
// that it cannot be gone by then.

#pragma once

#include <chrono>
#include <utility>

#include "base/mutex.h"
#include "fs/lock_order.h"

namespace kvmiommu::fs {

class Sleeper {
  public:
    /// Returns once wake() has been called, also when it was called before.
    void sleep() EXCLUDES(mutex_) {
        const Lock lock(mutex_);
        while (!woken_) {
            changed_.wait(mutex_);
        }
        woken_ = false;
    }
    /// For a SleepPolicy: the same, but no longer than `slice`, or a little less. True: woken.
    bool sleep_for(std::chrono::nanoseconds slice) EXCLUDES(mutex_) {
        const Lock lock(mutex_);
        if (!woken_) {
            changed_.wait_for(mutex_, slice);
        }
        return std::exchange(woken_, false);
    }
    void wake() EXCLUDES(mutex_) {
        const Lock lock(mutex_);
        woken_ = true;
        changed_.notify_all();
    }

  private:
    Mutex mutex_{lock_order::kSleeper};
    Condition changed_;
    bool woken_ GUARDED_BY(mutex_) = false;
};

/// How the threads of a face sleep in a call. The core reads no clock and knows no signals of the
/// host's: a face that has either sleeps in slices and looks in between.
class SleepPolicy {
  public:
    virtual ~SleepPolicy() = default;
    /// Returns once `sleeper` is woken: true; or when the sleep is to end without: false, and the
    /// call ends as if by a signal. No lock is held.
    virtual bool sleep(Sleeper& sleeper) = 0;
};

}  // namespace kvmiommu::fs
