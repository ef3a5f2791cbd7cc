// SPDX-License-Identifier: MIT

#include "fs/sleep_lock.h"

#include <utility>

#include "fs/task.h"

namespace kvmiommu::fs {

namespace {
constexpr Source kSource{"kernel/locking/mutex.c: mutex_lock_killable"};

// SleepLocks of all machines.
constinit thread_local unsigned held_by_this_thread = 0;
}  // namespace

void SleepLock::take() {
    owner_.store(std::this_thread::get_id(), std::memory_order_relaxed);
    ++held_by_this_thread;
}

bool SleepLock::try_lock() {
    if (mine()) {
        ++depth_;
        return true;
    }
    State free = kFree;
    if (!state_.compare_exchange_strong(free, kHeld, std::memory_order_acquire)) {
        return false;
    }
    take();
    return true;
}

bool SleepLock::want(Sleeper& sleeper) {
    const Lock lock(mutex_);
    // From now on unlock() wakes the list.
    if (state_.exchange(kWanted, std::memory_order_acquire) == kFree) {
        take();
        return false;
    }
    sleepers_.push_back(&sleeper);
    return true;
}

void SleepLock::leave(Sleeper& sleeper) {
    const Lock lock(mutex_);
    std::erase(sleepers_, &sleeper);
}

Result<> SleepLock::lock(Task& task, bool killable) {
    if (try_lock()) {
        return {};
    }
    if (held_by_this_thread != 0) {
        return refuse(EDEADLK, "another call is under way, and this one is made within yet another",
                      kSource);
    }
    for (;;) {
        Sleeper sleeper;
        if (!want(sleeper)) {
            return {};
        }
        const bool ended = killable ? task.sleep_killable(sleeper) : task.sleep(sleeper);
        leave(sleeper);
        if (ended) {
            return refuse(EINTR, "the sleep was ended while another call was under way", kSource);
        }
    }
}

bool SleepLock::lock() {
    if (try_lock()) {
        return true;
    }
    if (held_by_this_thread != 0) {
        return false;
    }
    for (;;) {
        Sleeper sleeper;
        if (!want(sleeper)) {
            return true;
        }
        must_hold_no_lock("a call sleeps");
        sleeper.sleep();
        leave(sleeper);
    }
}

void SleepLock::unlock() {
    if (depth_ != 0) {
        --depth_;
        return;
    }
    --held_by_this_thread;
    owner_.store(std::thread::id(), std::memory_order_relaxed);
    if (state_.exchange(kFree, std::memory_order_release) == kWanted) {
        const Lock lock(mutex_);
        for (Sleeper* const sleeper : sleepers_) {
            sleeper->wake();
        }
    }
}

}  // namespace kvmiommu::fs
