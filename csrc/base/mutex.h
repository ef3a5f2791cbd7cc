// SPDX-License-Identifier: MIT
//
// A mutex that clang's thread-safety analysis can follow. Each object owns its mutex; the order
// between them stands in the main header of the folder.

#pragma once

#include <chrono>
#include <condition_variable>
#include <mutex>

#if defined(__clang__)
#define KVMIOMMU_ANALYSIS(attribute) __attribute__((attribute))
#else
#define KVMIOMMU_ANALYSIS(attribute)
#endif

#define GUARDED_BY(mutex) KVMIOMMU_ANALYSIS(guarded_by(mutex))
#define REQUIRES(...) KVMIOMMU_ANALYSIS(requires_capability(__VA_ARGS__))
#define EXCLUDES(...) KVMIOMMU_ANALYSIS(locks_excluded(__VA_ARGS__))
#define ACQUIRED_AFTER(...) KVMIOMMU_ANALYSIS(acquired_after(__VA_ARGS__))

namespace kvmiommu {

class KVMIOMMU_ANALYSIS(capability("mutex")) Mutex {
  public:
    void lock() KVMIOMMU_ANALYSIS(acquire_capability()) { mutex_.lock(); }
    void unlock() KVMIOMMU_ANALYSIS(release_capability()) { mutex_.unlock(); }
    /// Tells the analysis, inside a lambda, that the function around it holds the mutex.
    void assert_held() const KVMIOMMU_ANALYSIS(assert_capability(this)) {}

  private:
    std::mutex mutex_;
};

/// Holds a Mutex for the length of a block.
class KVMIOMMU_ANALYSIS(scoped_lockable) Lock {
  public:
    explicit Lock(Mutex& mutex) KVMIOMMU_ANALYSIS(acquire_capability(mutex)) : mutex_(mutex) {
        mutex_.lock();
    }
    ~Lock() KVMIOMMU_ANALYSIS(release_capability()) { mutex_.unlock(); }
    Lock(const Lock&) = delete;
    Lock& operator=(const Lock&) = delete;

  private:
    Mutex& mutex_;
};

/// Waits for something that a Mutex guards to change. The mutex is held on entry and on return.
class Condition {
  public:
    void wait(Mutex& mutex) REQUIRES(mutex) { condition_.wait(mutex); }
    /// Not longer than `time`, or less. For faces: the core reads no clock.
    void wait_for(Mutex& mutex, std::chrono::nanoseconds time) REQUIRES(mutex) {
        condition_.wait_for(mutex, time);
    }
    void notify_all() { condition_.notify_all(); }

  private:
    std::condition_variable_any condition_;
};

}  // namespace kvmiommu
