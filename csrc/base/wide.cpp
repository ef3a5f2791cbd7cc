// SPDX-License-Identifier: MIT

#include "base/wide.h"

#include <atomic>
#include <bit>

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

namespace {

// Word by word, for any words and for TSan to see what each access is.
template <class Word>
Bits scan_each(const Word* row, std::size_t count) {
    Word all = static_cast<Word>(~Word{0});
    Word any = 0;
    for (std::size_t at = 0; at < count; ++at) {
        const Word word =
            std::atomic_ref(const_cast<Word&>(row[at])).load(std::memory_order_acquire);
        all &= word;
        any |= word;
    }
    return {all, any};
}

template <class Word>
void fill_each(Word* row, std::size_t count, Word first, Word step) {
    for (std::size_t at = 0; at < count; ++at) {
        std::atomic_ref(row[at]).store(first, std::memory_order_release);
        first += step;
    }
}

}  // namespace

Bits scan(const std::uint32_t* row, std::size_t count) {
    return scan_each(row, count);
}

void fill(std::uint32_t* row, std::size_t count, std::uint32_t first, std::uint32_t step) {
    fill_each(row, count, first, step);
}

bool fill_empty(std::uint32_t* row, std::size_t count, std::uint32_t first, std::uint32_t step) {
    if (scan_each(row, count).any != 0) {
        return false;
    }
    fill_each(row, count, first, step);
    return true;
}

#if defined(KVMIOMMU_SANITIZED)

Bits scan(const std::uint64_t* row, std::size_t count) {
    return scan_each(row, count);
}

void fill(std::uint64_t* row, std::size_t count, std::uint64_t first, std::uint64_t step) {
    fill_each(row, count, first, step);
}

bool fill_empty(std::uint64_t* row, std::size_t count, std::uint64_t first, std::uint64_t step) {
    if (scan_each(row, count).any != 0) {
        return false;
    }
    fill_each(row, count, first, step);
    return true;
}

bool fill_empty_swapped(std::uint64_t* row, std::size_t count, std::uint64_t first,
                        std::uint64_t step) {
    if (scan_each(row, count).any != 0) {
        return false;
    }
    for (std::size_t at = 0; at < count; ++at) {
        std::atomic_ref(row[at]).store(std::byteswap(first + at * step), std::memory_order_release);
    }
    return true;
}

#else

// Eight lanes: one register of the widest kind, or two or four of the others.
using Lanes [[gnu::vector_size(64), gnu::aligned(8), gnu::may_alias]] = std::uint64_t;

// Halves, quarters and bytes change places: what every processor has wide instructions for.
[[gnu::always_inline]] inline void swap_bytes(Lanes& words) {
    words = words << 32 | words >> 32;
    words = (words & 0x0000ffff0000ffff) << 16 | (words >> 16 & 0x0000ffff0000ffff);
    words = (words & 0x00ff00ff00ff00ff) << 8 | (words >> 8 & 0x00ff00ff00ff00ff);
}

[[gnu::always_inline]] inline Bits scan_wide(const std::uint64_t* row, std::size_t count) {
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
        // Halves upon halves, not lane by lane.
        const auto all4 = __builtin_shufflevector(all, all, 0, 1, 2, 3) &
                          __builtin_shufflevector(all, all, 4, 5, 6, 7);
        const auto any4 = __builtin_shufflevector(any, any, 0, 1, 2, 3) |
                          __builtin_shufflevector(any, any, 4, 5, 6, 7);
        const auto all2 =
            __builtin_shufflevector(all4, all4, 0, 1) & __builtin_shufflevector(all4, all4, 2, 3);
        const auto any2 =
            __builtin_shufflevector(any4, any4, 0, 1) | __builtin_shufflevector(any4, any4, 2, 3);
        bits = {all2[0] & all2[1], any2[0] | any2[1]};
    }
    for (; at < count; ++at) {
        bits.all &= row[at];
        bits.any |= row[at];
    }
    return bits;
}

template <bool kSwapped>
[[gnu::always_inline]] inline void fill_wide(std::uint64_t* row, std::size_t count,
                                             std::uint64_t first, std::uint64_t step) {
    // What the entries lead to is written before the entries are.
    std::atomic_thread_fence(std::memory_order_release);
    std::size_t at = 0;
    if (count >= 8) {
        Lanes words = {0, 1, 2, 3, 4, 5, 6, 7};
        words = words * step + first;
        for (; at + 8 <= count; at += 8) {
            Lanes stored = words;
            if constexpr (kSwapped) {
                swap_bytes(stored);
            }
            *reinterpret_cast<Lanes*>(row + at) = stored;
            words += 8 * step;
        }
    }
    for (; at < count; ++at) {
        const std::uint64_t word = first + at * step;
        row[at] = kSwapped ? std::byteswap(word) : word;
    }
}

KVMIOMMU_PICKED Bits scan(const std::uint64_t* row, std::size_t count) {
    return scan_wide(row, count);
}

KVMIOMMU_PICKED void fill(std::uint64_t* row, std::size_t count, std::uint64_t first,
                          std::uint64_t step) {
    fill_wide<false>(row, count, first, step);
}

KVMIOMMU_PICKED bool fill_empty(std::uint64_t* row, std::size_t count, std::uint64_t first,
                                std::uint64_t step) {
    if (scan_wide(row, count).any != 0) {
        return false;
    }
    fill_wide<false>(row, count, first, step);
    return true;
}

KVMIOMMU_PICKED bool fill_empty_swapped(std::uint64_t* row, std::size_t count, std::uint64_t first,
                                        std::uint64_t step) {
    if (scan_wide(row, count).any != 0) {
        return false;
    }
    fill_wide<true>(row, count, first, step);
    return true;
}

#endif

}  // namespace kvmiommu::wide
