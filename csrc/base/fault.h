// SPDX-License-Identifier: MIT
//
// Failures to be tried. Real exhaustion of memory aborts the program; what a kernel would meet
// as a failed allocation is an explicit point that a task can be told to fail, as
// /proc/PID/fail-nth does (Documentation/fault-injection/fault-injection.rst).

#pragma once

#include <atomic>
#include <cstdint>

namespace kvmiommu {

/// The fault points that one task meets. 0 means that none fails.
class FaultPoints {
  public:
    /// From now on the `nth` point (1 is the next one) fails, once.
    void fail_nth(std::uint32_t nth) { left_.store(nth, std::memory_order_relaxed); }
    /// How many points are still to be met until one fails; 0 when it has failed or none is to.
    std::uint32_t left() const { return left_.load(std::memory_order_relaxed); }

    /// Does this point fail? Asked at each allocation that the kernel would make.
    bool fails() {
        std::uint32_t left = left_.load(std::memory_order_relaxed);
        while (left != 0) [[unlikely]] {
            if (left_.compare_exchange_weak(left, left - 1, std::memory_order_relaxed)) {
                return left == 1;
            }
        }
        return false;
    }

  private:
    std::atomic<std::uint32_t> left_{0};
};

}  // namespace kvmiommu
