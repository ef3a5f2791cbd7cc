// SPDX-License-Identifier: MIT
//
// Who is at work where in a table. The core leaves it to its callers that two of them never change
// the same range at once, as the kernel does; Python's threads are not held to that, so a call
// waits until nobody is at work in its range.

#pragma once

#include <algorithm>
#include <condition_variable>
#include <mutex>
#include <vector>

#include "base/range.h"

namespace kvmiommu {

class RangeClaims {
  public:
    /// Holds a range until it goes. Made without the GIL: it may wait for another thread.
    class Claim {
      public:
        Claim(RangeClaims& claims, Range range) : claims_(claims), range_(range) {
            std::unique_lock lock(claims_.mutex_);
            ++claims_.waiting_;
            claims_.left_.wait(lock, [&] {
                return std::ranges::none_of(
                    claims_.held_, [&](const Range& held) { return held.overlaps(range_); });
            });
            --claims_.waiting_;
            claims_.held_.push_back(range_);
        }
        ~Claim() {
            {
                const std::lock_guard lock(claims_.mutex_);
                claims_.held_.erase(std::ranges::find(claims_.held_, range_));
                if (claims_.waiting_ == 0) {
                    return;
                }
            }
            claims_.left_.notify_all();
        }
        Claim(const Claim&) = delete;
        Claim& operator=(const Claim&) = delete;

      private:
        RangeClaims& claims_;
        const Range range_;
    };

  private:
    std::mutex mutex_;
    std::condition_variable left_;
    std::vector<Range> held_;
    unsigned waiting_ = 0;
};

}  // namespace kvmiommu
