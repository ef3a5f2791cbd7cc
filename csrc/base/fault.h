// SPDX-License-Identifier: MIT
//
// Fault injection. Real exhaustion of memory aborts the program. Where an allocation of the kernel
// could fail there is an explicit point that a task can make fail, as with /proc/PID/fail-nth
// (Documentation/fault-injection/fault-injection.rst).

#pragma once

#include <atomic>
#include <cstdint>

namespace kvmiommu {

/// The fault points of one task.
class FaultPoints {
  public:
    /// The `nth` point from now on (1 is the next one) fails, once; 0: none fails.
    void fail_nth(std::uint32_t nth) { left_.store(nth, std::memory_order_relaxed); }
    /// Points until the one that fails; 0: it has failed, or none was set.
    std::uint32_t left() const { return left_.load(std::memory_order_relaxed); }
    /// Does this point fail? Called at each allocation of the kernel.
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
