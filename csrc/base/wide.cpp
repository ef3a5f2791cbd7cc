// SPDX-License-Identifier: MIT

#include "base/wide.h"

#include <atomic>

#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
#define KVMIOMMU_SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer) || __has_feature(address_sanitizer)
#define KVMIOMMU_SANITIZED 1
#endif
#endif

// A sanitizer is not ready yet when the loader picks; without it, one build for each kind.
#if defined(__x86_64__) && !defined(KVMIOMMU_SANITIZED) && defined(__GNUC__)
#define KVMIOMMU_PICKED \
    __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define KVMIOMMU_PICKED
#endif

namespace kvmiommu::wide {

#if defined(KVMIOMMU_SANITIZED)

// Word by word, for TSan to see what each access is.
Bits scan(const std::uint64_t* row, std::size_t count) {
    Bits bits{~std::uint64_t{0}, 0};
    for (std::size_t at = 0; at < count; ++at) {
        const std::uint64_t word =
            std::atomic_ref(const_cast<std::uint64_t&>(row[at])).load(std::memory_order_acquire);
        bits.all &= word;
        bits.any |= word;
    }
    return bits;
}

void fill(std::uint64_t* row, std::size_t count, std::uint64_t first, std::uint64_t step) {
    for (std::size_t at = 0; at < count; ++at) {
        std::atomic_ref(row[at]).store(first + at * step, std::memory_order_release);
    }
}

#else

// Eight lanes: one register of the widest kind, or two or four of the others.
using Lanes [[gnu::vector_size(64), gnu::aligned(8), gnu::may_alias]] = std::uint64_t;

KVMIOMMU_PICKED Bits scan(const std::uint64_t* row, std::size_t count) {
    Bits bits{~std::uint64_t{0}, 0};
    std::size_t at = 0;
    if (count >= 8) {
        Lanes all = *reinterpret_cast<const Lanes*>(row);
        Lanes any = all;
        for (at = 8; at + 8 <= count; at += 8) {
            const Lanes words = *reinterpret_cast<const Lanes*>(row + at);
            all &= words;
            any |= words;
        }
        for (int lane = 0; lane < 8; ++lane) {
            bits.all &= all[lane];
            bits.any |= any[lane];
        }
    }
    for (; at < count; ++at) {
        bits.all &= row[at];
        bits.any |= row[at];
    }
    return bits;
}

KVMIOMMU_PICKED void fill(std::uint64_t* row, std::size_t count, std::uint64_t first,
                          std::uint64_t step) {
    // What the entries lead to is written before the entries are.
    std::atomic_thread_fence(std::memory_order_release);
    std::size_t at = 0;
    if (count >= 8) {
        Lanes words = {0, 1, 2, 3, 4, 5, 6, 7};
        words = words * step + first;
        for (; at + 8 <= count; at += 8) {
            *reinterpret_cast<Lanes*>(row + at) = words;
            words += 8 * step;
        }
    }
    for (; at < count; ++at) {
        row[at] = first + at * step;
    }
}

#endif

}  // namespace kvmiommu::wide
