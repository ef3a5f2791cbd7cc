// SPDX-License-Identifier: MIT
//
// A call that sleeps. It lives on the sleeping thread's stack and stands in two lists while it
// sleeps: of what it waits for and of its task. Each of them wakes it with its own mutex held, so
// that it cannot be gone by then.

#pragma once

#include "base/mutex.h"

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
    void wake() EXCLUDES(mutex_) {
        const Lock lock(mutex_);
        woken_ = true;
        changed_.notify_all();
    }

  private:
    Mutex mutex_;
    Condition changed_;
    bool woken_ GUARDED_BY(mutex_) = false;
};

}  // namespace kvmiommu::fs
