// SPDX-License-Identifier: MIT
//
// An account of pages with a limit: mm->locked_vm (VmLck), mm->pinned_vm (VmPin), user->locked_vm.
// Rule: mm/util.c: __account_locked_vm.

#pragma once

#include <atomic>
#include <cassert>
#include <cstdint>

#include "base/result.h"

namespace kvmiommu::mm {

class LockedMemory {
  public:
    /// Pages charged now.
    std::uint64_t pages() const { return pages_.load(std::memory_order_relaxed); }

    /// Charges `pages` more.
    /// ENOMEM that would pass `limit_pages`, and not `exempt` (CAP_IPC_LOCK)
    Result<> charge(std::uint64_t pages, std::uint64_t limit_pages, bool exempt) {
        std::uint64_t before = pages_.load(std::memory_order_relaxed);
        do {
            if (!exempt && (before + pages > limit_pages || before + pages < before)) {
                return refuse(ENOMEM,
                              "{} pages locked and {} more would pass the limit of {} pages",
                              Source{"mm/util.c: __account_locked_vm"}, before, pages, limit_pages);
            }
        } while (!pages_.compare_exchange_weak(before, before + pages, std::memory_order_relaxed));
        return {};
    }

    /// Uncharges `pages`, which were charged.
    void uncharge(std::uint64_t pages) {
        [[maybe_unused]] const std::uint64_t before =
            pages_.fetch_sub(pages, std::memory_order_relaxed);
        assert(before >= pages);
    }

  private:
    std::atomic<std::uint64_t> pages_{0};
};

}  // namespace kvmiommu::mm
