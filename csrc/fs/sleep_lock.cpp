// SPDX-License-Identifier: MIT

#include "fs/sleep_lock.h"

#include <utility>

#include "fs/task.h"

namespace kvmiommu::fs {

namespace {
constexpr Source kSource{"kernel/locking/mutex.c: mutex_lock_killable"};
}

bool SleepLock::try_lock() {
    State free = kFree;
    if (!state_.compare_exchange_strong(free, kHeld, std::memory_order_acquire)) {
        return false;
    }
    owner_.store(std::this_thread::get_id(), std::memory_order_relaxed);
    return true;
}

bool SleepLock::want(Sleeper& sleeper) {
    const Lock lock(mutex_);
    // From here on, whoever unlocks it looks at the list.
    if (state_.exchange(kWanted, std::memory_order_acquire) == kFree) {
        owner_.store(std::this_thread::get_id(), std::memory_order_relaxed);
        return false;
    }
    sleepers_.push_back(&sleeper);
    return true;
}

void SleepLock::leave(Sleeper& sleeper) {
    const Lock lock(mutex_);
    std::erase(sleepers_, &sleeper);
}

Result<> SleepLock::lock(Task& task) {
    if (try_lock()) {
        return {};
    }
    if (mine()) {
        ++depth_;
        return {};
    }
    for (;;) {
        Sleeper sleeper;
        if (!want(sleeper)) {
            return {};
        }
        const bool ended = task.sleep_killable(sleeper);
        leave(sleeper);
        if (ended) {
            return refuse(EINTR, "the sleep was ended while another call was under way", kSource);
        }
    }
}

void SleepLock::lock() {
    if (try_lock()) {
        return;
    }
    if (mine()) {
        ++depth_;
        return;
    }
    for (;;) {
        Sleeper sleeper;
        if (!want(sleeper)) {
            return;
        }
        sleeper.sleep();
        leave(sleeper);
    }
}

void SleepLock::unlock() {
    if (depth_ != 0) {
        --depth_;
        return;
    }
    owner_.store(std::thread::id(), std::memory_order_relaxed);
    if (state_.exchange(kFree, std::memory_order_release) == kWanted) {
        const Lock lock(mutex_);
        for (Sleeper* const sleeper : sleepers_) {
            sleeper->wake();
        }
    }
}

}  // namespace kvmiommu::fs
