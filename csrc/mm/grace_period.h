// SPDX-License-Identifier: MIT
//
// Frames that are freed while devices access memory. A device may have translated an address to a
// frame before the mapping went, and be about to use it: the frame is reused when all accesses that
// had begun have ended. Nobody waits for them. (Documentation/RCU/whatisRCU.rst, kernel/rcu/srcu*)

#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <utility>
#include <vector>

namespace kvmiommu::mm {

/// Accesses are counted under one of two numbers. Those that begin after frames were freed use the
/// other one, so that the first number's count comes down to 0 whatever begins meanwhile.
///
/// Each step on a count, also one that only looks at it, is a read-modify-write: either it sees an
/// access, or that access begins after it and does not see the mapping any more.
template <class Frames>
class GracePeriod {
  public:
    /// An access begins. Returns its number.
    unsigned begin() {
        const unsigned number = current_.load(std::memory_order_relaxed);
        counts_[number].fetch_add(1, std::memory_order_acq_rel);
        return number;
    }
    /// It has ended. True: frames wait, and may be free now: call advance().
    bool end(unsigned number) {
        return counts_[number].fetch_sub(1, std::memory_order_acq_rel) == 1 &&
               waiting_.load(std::memory_order_acquire);
    }

    // --- one thread at a time: the caller's lock guards these ---

    /// No access is under way that could use what was unmapped before.
    bool idle() { return ended(0) && ended(1); }
    /// Frames that wait for the accesses under way. advance() follows.
    void add(const Frames& frames) {
        fresh_.push_back(frames);
        waiting_.store(true, std::memory_order_release);
    }
    /// Calls `free` for the frames whose wait is over.
    template <class Free>
    void advance(Free&& free) {
        for (;;) {
            const unsigned current = current_.load(std::memory_order_relaxed);
            if (!ended(1 - current)) {
                return;
            }
            for (const Frames& frames : std::exchange(leaving_, {})) {
                free(frames);
            }
            if (fresh_.empty()) {
                waiting_.store(false, std::memory_order_relaxed);
                return;
            }
            std::swap(leaving_, fresh_);
            current_.store(1 - current, std::memory_order_relaxed);
        }
    }
    /// Calls `visit` for all frames that wait.
    template <class Visit>
    void each(Visit&& visit) const {
        for (const auto* const list : {&leaving_, &fresh_}) {
            for (const Frames& frames : *list) {
                visit(frames);
            }
        }
    }

  private:
    bool ended(unsigned number) {
        return counts_[number].fetch_add(0, std::memory_order_acq_rel) == 0;
    }

    std::atomic<unsigned> current_{0};
    std::array<std::atomic<std::uint32_t>, 2> counts_{};
    std::atomic<bool> waiting_{false};
    std::vector<Frames> leaving_;  // for accesses that do not have the current number
    std::vector<Frames> fresh_;    // freed since
};

}  // namespace kvmiommu::mm
