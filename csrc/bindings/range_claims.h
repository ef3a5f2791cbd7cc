// SPDX-License-Identifier: MIT
//
// The ranges of a table that threads are changing. The core, like the kernel, requires that its
// callers never change overlapping ranges at the same time. Python's threads need not know that, so
// a call waits until its range is free.

#pragma once

#include <algorithm>
#include <mutex>
#include <vector>

#include "base/mutex.h"
#include "base/range.h"
#include "bindings/lock_order.h"

namespace kvmiommu {

class RangeClaims {
  public:
    /// Claims a range until it is destroyed.
    class Claim {
      public:
        /// Waits for other threads, so the GIL must not be held.
        Claim(RangeClaims& claims, Range range) : claims_(claims), range_(range), held_(true) {
            const Lock lock(claims_.mutex_);
            ++claims_.waiting_;
            while (!claims_.is_free(range_)) {
                claims_.left_.wait(claims_.mutex_);
            }
            --claims_.waiting_;
            claims_.held_.push_back(range_);
        }
        /// Does not wait: it claims nothing if another thread has a part of the range.
        Claim(RangeClaims& claims, Range range, std::try_to_lock_t)
            : claims_(claims), range_(range) {
            const Lock lock(claims_.mutex_);
            held_ = claims_.is_free(range_);
            if (held_) {
                claims_.held_.push_back(range_);
            }
        }
        ~Claim() {
            if (!held_) {
                return;
            }
            {
                const Lock lock(claims_.mutex_);
                claims_.held_.erase(std::ranges::find(claims_.held_, range_));
                if (claims_.waiting_ == 0) {
                    return;
                }
            }
            claims_.left_.notify_all();
        }
        Claim(const Claim&) = delete;
        Claim& operator=(const Claim&) = delete;

        explicit operator bool() const { return held_; }

      private:
        RangeClaims& claims_;
        const Range range_;
        bool held_;
    };

  private:
    bool is_free(Range range) const REQUIRES(mutex_) {
        return std::ranges::none_of(held_, [&](const Range& held) { return held.overlaps(range); });
    }

    Mutex mutex_{bindings::lock_order::kRangeClaims};
    Condition left_;
    std::vector<Range> held_ GUARDED_BY(mutex_);
    unsigned waiting_ GUARDED_BY(mutex_) = 0;
};

}  // namespace kvmiommu
