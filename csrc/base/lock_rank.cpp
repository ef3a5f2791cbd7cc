// SPDX-License-Identifier: MIT

#include "base/lock_rank.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <iterator>

namespace kvmiommu {

namespace {

// Trivially destructible, because destructors at the thread's end may take locks.
struct HeldLocks {
    static constexpr std::size_t kMost = 32;

    std::array<const LockRank*, kMost> ranks;
    std::size_t count;
};

thread_local HeldLocks held_locks{};

}  // namespace

const LockRank* held_out_of_order(const LockRank& rank) {
    for (std::size_t at = held_locks.count; at-- != 0;) {
        if (held_locks.ranks[at]->order <= rank.order) {
            return held_locks.ranks[at];
        }
    }
    return nullptr;
}

#ifndef NDEBUG
void must_hold_no_lock(const char* what) {
    if (held_locks.count != 0) {
        std::fprintf(stderr, "kvmiommu: %s, while %s is held\n", what,
                     held_locks.ranks[held_locks.count - 1]->name);
        std::abort();
    }
}
#endif

namespace detail {

void check_lock_order(const LockRank& rank) {
    if (const LockRank* const held = held_out_of_order(rank)) {
        std::fprintf(stderr, "kvmiommu: %s (%x) is taken while %s (%x) is held\n", rank.name,
                     rank.order, held->name, held->order);
        std::abort();
    }
}

void note_locked(const LockRank& rank) {
    if (held_locks.count == HeldLocks::kMost) {
        std::fprintf(stderr, "kvmiommu: a thread holds %zu locks\n", held_locks.count);
        std::abort();
    }
    held_locks.ranks[held_locks.count++] = &rank;
}

// Not always the last one: locks may be released in any order.
void note_unlocked(const LockRank& rank) {
    auto* const begin = held_locks.ranks.begin();
    auto* const end = begin + held_locks.count;
    auto* const found =
        std::find(std::make_reverse_iterator(end), std::make_reverse_iterator(begin), &rank).base();
    if (found == begin) {
        std::fprintf(stderr, "kvmiommu: %s is unlocked and was not locked\n", rank.name);
        std::abort();
    }
    std::copy(found, end, found - 1);
    --held_locks.count;
}

}  // namespace detail

}  // namespace kvmiommu
