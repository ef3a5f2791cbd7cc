// SPDX-License-Identifier: MIT
//
// Pools of free blocks of frames for page tables, which are likely still in the cache (mm/
// page_alloc.c: per_cpu_pages). Allocation and free are one compare-and-swap, without a lock.

#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>

#include "base/base.h"

namespace kvmiommu::mm {

/// The links between blocks, which are numbered from 1; 0 is none.
///
/// The links are not in the frames, because a freed table must not be written while a device may
/// still walk it. Links of neighbouring blocks are in different cache lines, so that threads with
/// neighbouring blocks do not share one.
class FrameLinks {
  public:
    explicit FrameLinks(std::uint64_t frames)
        : stride_(frames / kApart + 1),
          next_(std::make_unique_for_overwrite<std::atomic<std::uint32_t>[]>(kApart * stride_)) {}

    std::uint32_t next(std::uint32_t block) const {
        return next_[place_of(block)].load(std::memory_order_relaxed);
    }
    void set_next(std::uint32_t block, std::uint32_t next) {
        next_[place_of(block)].store(next, std::memory_order_relaxed);
    }

  private:
    static constexpr std::uint64_t kApart = 64 / sizeof(std::uint32_t);  // links in a cache line
    std::uint64_t place_of(std::uint32_t block) const {
        return block % kApart * stride_ + block / kApart;
    }

    const std::uint64_t stride_;
    // Only links of blocks are written, so the host allocates memory for no more.
    const std::unique_ptr<std::atomic<std::uint32_t>[]> next_;
};

/// A stack of blocks.
class FramePool {
  public:
    /// Pushes the chain from `first` to `last`.
    void push(FrameLinks& links, std::uint32_t first, std::uint32_t last) {
        std::uint64_t seen = top_.load(std::memory_order_relaxed);
        do {
            links.set_next(last, block_of(seen));
        } while (!top_.compare_exchange_weak(seen, after(seen, first), std::memory_order_release,
                                             std::memory_order_relaxed));
    }
    /// Pops the block on top; 0: the pool is empty.
    std::uint32_t pop(const FrameLinks& links) {
        std::uint64_t seen = top_.load(std::memory_order_acquire);
        while (block_of(seen) != 0) {
            // If another thread has popped the block, the link is stale and the exchange fails.
            const std::uint32_t next = links.next(block_of(seen));
            if (top_.compare_exchange_weak(seen, after(seen, next), std::memory_order_acquire)) {
                return block_of(seen);
            }
        }
        return 0;
    }
    /// Pops all blocks, as a chain.
    std::uint32_t take_all() {
        std::uint64_t seen = top_.load(std::memory_order_acquire);
        while (!top_.compare_exchange_weak(seen, after(seen, 0), std::memory_order_acquire)) {
        }
        return block_of(seen);
    }
    /// The number of blocks; approximate while other threads push and pop.
    std::uint64_t count(const FrameLinks& links, std::uint64_t most) const {
        std::uint64_t count = 0;
        for (std::uint32_t block = block_of(top_.load(std::memory_order_acquire));
             block != 0 && count < most; block = links.next(block)) {
            ++count;
        }
        return count;
    }

  private:
    // The block on top and, above it, a number that changes with the top, so that a block that was
    // popped and pushed again is noticed (ABA).
    static constexpr unsigned kNumberShift = 32;
    static std::uint32_t block_of(std::uint64_t top) { return static_cast<std::uint32_t>(top); }
    static std::uint64_t after(std::uint64_t seen, std::uint32_t block) {
        return ((seen >> kNumberShift) + 1) << kNumberShift | block;
    }

    std::atomic<std::uint64_t> top_{0};
};

/// Pools by order, of blocks of 2^order frames. There are several for each order, because a block
/// that another processor has written is not in this one's cache: a thread first pops what it has
/// pushed. Threads may share pools, which costs only time.
class FramePools {
  public:
    static constexpr unsigned kOrders = 5;

    /// Pushes the chain from `first` to `last` to this thread's pool.
    void push(FrameLinks& links, unsigned order, std::uint32_t first, std::uint32_t last) {
        shares_[share_of_thread()].pools[order].push(links, first, last);
    }
    /// Pops a block, from another thread's pool if this thread's is empty; 0: all are empty.
    std::uint32_t pop(const FrameLinks& links, unsigned order) {
        const std::size_t own = share_of_thread();
        for (std::size_t each = 0; each < kShares; ++each) {
            FramePool& pool = shares_[(own + each) % kShares].pools[order];
            if (const std::uint32_t block = pool.pop(links); block != 0) [[likely]] {
                return block;
            }
        }
        return 0;
    }
    /// Calls visit(pool) for each pool of an order.
    template <class Visit>
    void each(unsigned order, Visit&& visit) {
        for (Share& share : shares_) {
            visit(share.pools[order]);
        }
    }
    template <class Visit>
    void each(unsigned order, Visit&& visit) const {
        for (const Share& share : shares_) {
            visit(share.pools[order]);
        }
    }

  private:
    static constexpr unsigned kShareBits = 5;
    static constexpr std::size_t kShares = std::size_t{1} << kShareBits;
    struct alignas(64) Share {  // a cache line of its own
        std::array<FramePool, kOrders> pools;
    };

    // The address of thread-local memory differs between threads; hashed by a multiplication with
    // the golden ratio.
    static std::size_t share_of_thread() {
        const auto thread = reinterpret_cast<std::uintptr_t>(__builtin_thread_pointer());
        return std::uint64_t{thread} * 0x9e37'79b9'7f4a'7c15 >> (64 - kShareBits);
    }

    std::array<Share, kShares> shares_;
};

}  // namespace kvmiommu::mm
