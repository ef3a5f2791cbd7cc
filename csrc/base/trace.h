// SPDX-License-Identifier: MIT
//
// A ring buffer of the last calls of a system. Records have a sequence number and no time, so that
// a replayed run has the same trace.

#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/lock_order.h"
#include "base/mutex.h"
#include "base/result.h"

namespace kvmiommu {

/// The most bytes of an argument that a record keeps.
inline constexpr std::size_t kMostTraced = 256;

/// One call of one task.
struct TraceRecord {
    std::uint64_t sequence = 0;
    std::uint32_t task = 0;
    const char* call = "";            // "ioctl"
    std::uint64_t arguments[6] = {};  // of an ioctl: fd, request, argument
    std::size_t count = 0;            // of arguments
    const char* file = "";  // the kind of file that the descriptor named, RefCounted::kind()
    std::string path;       // of an open; the name of a memfd
    // What stands behind a pointer among the arguments, as far as the caller vouches for it, up to
    // kMostTraced bytes: before the call, and after it.
    std::vector<std::byte> before;
    std::vector<std::byte> after;
    std::int64_t value = 0;  // the return value, unless refused
    std::optional<Refusal> refusal;
};

/// Keeps the last `capacity` records. Off by default.
class TraceRing {
  public:
    bool on() const { return on_.load(std::memory_order_relaxed); }

    /// Keeps the last `capacity` records from now on; 0 switches the trace off.
    void keep(std::size_t capacity) EXCLUDES(mutex_) {
        const Lock lock(mutex_);
        records_.clear();
        records_.reserve(capacity);
        capacity_ = capacity;
        next_ = 0;
        on_.store(capacity != 0, std::memory_order_relaxed);
    }

    void add(TraceRecord record) EXCLUDES(mutex_) {
        const Lock lock(mutex_);
        if (capacity_ == 0) {
            return;
        }
        record.sequence = next_++;
        if (records_.size() < capacity_) {
            records_.push_back(std::move(record));
        } else {
            TraceRecord& oldest = records_[record.sequence % capacity_];
            oldest = std::move(record);
        }
    }

    /// The records kept, the oldest first.
    std::vector<TraceRecord> records() const EXCLUDES(mutex_) {
        const Lock lock(mutex_);
        std::vector<TraceRecord> ordered = records_;
        std::sort(ordered.begin(), ordered.end(),
                  [](const auto& a, const auto& b) { return a.sequence < b.sequence; });
        return ordered;
    }

  private:
    std::atomic<bool> on_{false};
    mutable Mutex mutex_{lock_order::kTrace};
    std::vector<TraceRecord> records_ GUARDED_BY(mutex_);
    std::size_t capacity_ GUARDED_BY(mutex_) = 0;
    std::uint64_t next_ GUARDED_BY(mutex_) = 0;
};

}  // namespace kvmiommu
