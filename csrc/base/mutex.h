// SPDX-License-Identifier: MIT
//
// Mutexes with annotations for clang's thread-safety analysis. Each object owns its mutex; each
// mutex has a rank, its place in the order in which they are taken (lock_rank.h).

#pragma once

#include <chrono>
#include <condition_variable>
#include <mutex>
#include <shared_mutex>

#include "base/lock_rank.h"

#if defined(__clang__)
#define KVMIOMMU_ANALYSIS(attribute) __attribute__((attribute))
#else
#define KVMIOMMU_ANALYSIS(attribute)
#endif

#define GUARDED_BY(mutex) KVMIOMMU_ANALYSIS(guarded_by(mutex))
#define REQUIRES(...) KVMIOMMU_ANALYSIS(requires_capability(__VA_ARGS__))
#define REQUIRES_SHARED(...) KVMIOMMU_ANALYSIS(requires_shared_capability(__VA_ARGS__))
#define EXCLUDES(...) KVMIOMMU_ANALYSIS(locks_excluded(__VA_ARGS__))
#define ACQUIRED_AFTER(...) KVMIOMMU_ANALYSIS(acquired_after(__VA_ARGS__))

namespace kvmiommu {

namespace detail {

// The rank check of both kinds of mutex: nothing in release builds.
class Ranked {
  protected:
    constexpr explicit Ranked([[maybe_unused]] const LockRank& rank)
#ifndef NDEBUG
        : rank_(rank)
#endif
    {
    }
    void check() const {
#ifndef NDEBUG
        check_lock_order(rank_);
#endif
    }
    void locked() const {
#ifndef NDEBUG
        note_locked(rank_);
#endif
    }
    void unlocked() const {
#ifndef NDEBUG
        note_unlocked(rank_);
#endif
    }

#ifndef NDEBUG
  private:
    const LockRank& rank_;
#endif
};

}  // namespace detail

class KVMIOMMU_ANALYSIS(capability("mutex")) Mutex : private detail::Ranked {
  public:
    /// `rank` outlives it.
    constexpr explicit Mutex(const LockRank& rank) : Ranked(rank) {}

    void lock() KVMIOMMU_ANALYSIS(acquire_capability()) {
        check();
        mutex_.lock();
        locked();
    }
    void unlock() KVMIOMMU_ANALYSIS(release_capability()) {
        unlocked();
        mutex_.unlock();
    }
    /// For the analysis: the enclosing function of this lambda holds the mutex.
    void assert_held() const KVMIOMMU_ANALYSIS(assert_capability(this)) {}

  private:
    std::mutex mutex_;
};

/// A mutex that several readers can hold at once.
class KVMIOMMU_ANALYSIS(capability("shared_mutex")) SharedMutex : private detail::Ranked {
  public:
    /// `rank` outlives it.
    explicit SharedMutex(const LockRank& rank) : Ranked(rank) {}

    void lock() KVMIOMMU_ANALYSIS(acquire_capability()) {
        check();
        mutex_.lock();
        locked();
    }
    void unlock() KVMIOMMU_ANALYSIS(release_capability()) {
        unlocked();
        mutex_.unlock();
    }
    void lock_shared() KVMIOMMU_ANALYSIS(acquire_shared_capability()) {
        check();
        mutex_.lock_shared();
        locked();
    }
    void unlock_shared() KVMIOMMU_ANALYSIS(release_shared_capability()) {
        unlocked();
        mutex_.unlock_shared();
    }

  private:
    std::shared_mutex mutex_;
};

/// Holds a Mutex or a SharedMutex for the length of a block.
template <class Lockable>
class KVMIOMMU_ANALYSIS(scoped_lockable) LockOf {
  public:
    explicit LockOf(Lockable& mutex) KVMIOMMU_ANALYSIS(acquire_capability(mutex)) : mutex_(mutex) {
        mutex_.lock();
    }
    ~LockOf() KVMIOMMU_ANALYSIS(release_capability()) { mutex_.unlock(); }
    LockOf(const LockOf&) = delete;
    LockOf& operator=(const LockOf&) = delete;

  private:
    Lockable& mutex_;
};
using Lock = LockOf<Mutex>;
using ExclusiveLock = LockOf<SharedMutex>;

/// Holds a SharedMutex with other readers for the length of a block.
class KVMIOMMU_ANALYSIS(scoped_lockable) SharedLock {
  public:
    explicit SharedLock(SharedMutex& mutex) KVMIOMMU_ANALYSIS(acquire_shared_capability(mutex))
        : mutex_(mutex) {
        mutex_.lock_shared();
    }
    ~SharedLock() KVMIOMMU_ANALYSIS(release_generic_capability()) { mutex_.unlock_shared(); }
    SharedLock(const SharedLock&) = delete;
    SharedLock& operator=(const SharedLock&) = delete;

  private:
    SharedMutex& mutex_;
};

/// Waits for a change of what a Mutex guards. The mutex is held on entry and on return.
class Condition {
  public:
    void wait(Mutex& mutex) REQUIRES(mutex) { condition_.wait(mutex); }
    /// Waits at most `time`; may return early. For faces: the core reads no clock.
    void wait_for(Mutex& mutex, std::chrono::nanoseconds time) REQUIRES(mutex) {
        condition_.wait_for(mutex, time);
    }
    void notify_all() { condition_.notify_all(); }

  private:
    std::condition_variable_any condition_;
};

}  // namespace kvmiommu
