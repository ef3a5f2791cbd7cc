// SPDX-License-Identifier: MIT

#include "base/wide.h"

#include <atomic>
#include <bit>

#include "base/sanitizers.h"

// With a sanitizer there is one build only, because it is not initialized when the loader selects.
// The loader of glibc selects; that of musl cannot (no IFUNC).
#if defined(__x86_64__) && defined(__GLIBC__) && !defined(KVMIOMMU_ASAN) && \
    !defined(KVMIOMMU_TSAN) && !defined(KVMIOMMU_ONE_KIND)
#include <immintrin.h>
#define KVMIOMMU_KINDS 1
#define KVMIOMMU_PICKED __attribute__((target_clones("avx512f", "avx2", "default")))
#define KVMIOMMU_KIND(kind) [[gnu::target(kind)]]
#else
#define KVMIOMMU_PICKED
#define KVMIOMMU_KIND(kind)
#endif

namespace kvmiommu::wide {

namespace {

// Word by word: for short rows, for words of any size, and for TSan.
template <class Word>
bool all_are(const Word* row, std::size_t count, Word old, Word mask) {
    Word differences = 0;
    for (std::size_t at = 0; at < count; ++at) {
        const Word word =
            std::atomic_ref(const_cast<Word&>(row[at])).load(std::memory_order_acquire);
        differences |= (word ^ old) & mask;
    }
    return differences == 0;
}

template <bool kSwapped, class Word>
[[gnu::noinline]] void fill_each(Word* row, std::size_t count, Word first, Word step) {
    for (std::size_t at = 0; at < count; ++at) {
        std::atomic_ref(row[at]).store(kSwapped ? std::byteswap(first) : first,
                                       std::memory_order_release);
        first += step;
    }
}

template <bool kSwapped, class Word>
[[gnu::noinline]] bool replace_each(Word* row, std::size_t count, Word old, Word mask, Word first,
                                    Word step) {
    if (!all_are(row, count, old, mask)) {
        return false;
    }
    fill_each<kSwapped>(row, count, first, step);
    return true;
}

}  // namespace

void fill(std::uint32_t* row, std::size_t count, std::uint32_t first, std::uint32_t step) {
    fill_each<false>(row, count, first, step);
}

bool replace(std::uint32_t* row, std::size_t count, std::uint32_t old, std::uint32_t mask,
             std::uint32_t first, std::uint32_t step) {
    return replace_each<false>(row, count, old, mask, first, step);
}

#if defined(KVMIOMMU_ASAN) || defined(KVMIOMMU_TSAN)

void fill(std::uint64_t* row, std::size_t count, std::uint64_t first, std::uint64_t step) {
    fill_each<false>(row, count, first, step);
}

bool replace(std::uint64_t* row, std::size_t count, std::uint64_t old, std::uint64_t mask,
             std::uint64_t first, std::uint64_t step) {
    return replace_each<false>(row, count, old, mask, first, step);
}

bool replace_swapped(std::uint64_t* row, std::size_t count, std::uint64_t old, std::uint64_t mask,
                     std::uint64_t first, std::uint64_t step) {
    return replace_each<true>(row, count, old, mask, first, step);
}

#else

namespace {

// Eight lanes: one of the widest registers, or two or four smaller ones.
using Lanes [[gnu::vector_size(64), gnu::aligned(8), gnu::may_alias]] = std::uint64_t;
constexpr std::size_t kLanes = 8;

// Swaps halves, quarters and bytes, for which every processor has wide instructions.
[[gnu::always_inline]] inline void swap_bytes(Lanes& words) {
    words = words << 32 | words >> 32;
    words = (words & 0x0000ffff0000ffff) << 16 | (words >> 16 & 0x0000ffff0000ffff);
    words = (words & 0x00ff00ff00ff00ff) << 8 | (words >> 8 & 0x00ff00ff00ff00ff);
}

template <bool kSwapped>
[[gnu::always_inline]] inline void store(std::uint64_t* row, const Lanes& words) {
    Lanes stored = words;
    if constexpr (kSwapped) {
        swap_bytes(stored);
    }
    *reinterpret_cast<Lanes*>(row) = stored;
}

template <bool kSwapped>
[[gnu::always_inline]] inline void fill_wide(std::uint64_t* row, std::size_t count,
                                             std::uint64_t first, std::uint64_t step) {
    // The tables that the entries point to are written before the entries.
    std::atomic_thread_fence(std::memory_order_release);
    // The number of a lane times `step`, by shifts and additions, which are fast everywhere.
    constexpr std::uint64_t kAll = ~std::uint64_t{0};
    constexpr Lanes kOnes = {0, kAll, 0, kAll, 0, kAll, 0, kAll};
    constexpr Lanes kTwos = {0, 0, kAll, kAll, 0, 0, kAll, kAll};
    constexpr Lanes kFours = {0, 0, 0, 0, kAll, kAll, kAll, kAll};
    Lanes words = (kOnes & step) + (kTwos & (2 * step)) + (kFours & (4 * step)) + first;
    std::size_t at = 0;
    do {
        store<kSwapped>(row + at, words);
        words += kLanes * step;
        at += kLanes;
    } while (at + kLanes <= count);
    // Not with overlapping lanes, which would overwrite marks that a device has set meanwhile.
    if (at != count) [[unlikely]] {
        fill_each<kSwapped>(row + at, count - at, first + at * step, step);
    }
}

// Does any word differ from `old` in the bits of `mask`? A row whose length is not a multiple of
// the lanes ends with lanes that overlap the ones before.
[[gnu::always_inline]] inline void find_differences(const std::uint64_t* row, std::size_t count,
                                                    std::uint64_t old, std::uint64_t mask,
                                                    Lanes& lanes) {
    const std::size_t last = count - kLanes;
    lanes = (*reinterpret_cast<const Lanes*>(row + last) ^ old) & mask;
    for (std::size_t at = 0; at < last; at += kLanes) {
        lanes |= (*reinterpret_cast<const Lanes*>(row + at) ^ old) & mask;
    }
}

[[gnu::always_inline]] inline bool any_lane(const Lanes& lanes) {
    const auto four = __builtin_shufflevector(lanes, lanes, 0, 1, 2, 3) |
                      __builtin_shufflevector(lanes, lanes, 4, 5, 6, 7);
    const auto two =
        __builtin_shufflevector(four, four, 0, 1) | __builtin_shufflevector(four, four, 2, 3);
    return (two[0] | two[1]) != 0;
}

template <bool kSwapped>
[[gnu::always_inline]] inline bool replace_by_lanes(std::uint64_t* row, std::size_t count,
                                                    std::uint64_t old, std::uint64_t mask,
                                                    std::uint64_t first, std::uint64_t step) {
    Lanes lanes;
    find_differences(row, count, old, mask, lanes);
    if (any_lane(lanes)) {
        return false;
    }
    fill_wide<kSwapped>(row, count, first, step);
    return true;
}

// Is any lane not 0? On the hot path. Processors have instructions for that, but compilers have no
// common way to express them, so there is one function for each kind.
#if defined(KVMIOMMU_KINDS)
KVMIOMMU_KIND("avx512f")
bool replace_wide(std::uint64_t* row, std::size_t count, std::uint64_t old, std::uint64_t mask,
                  std::uint64_t first, std::uint64_t step) {
    Lanes lanes;
    find_differences(row, count, old, mask, lanes);
    const auto all = reinterpret_cast<__m512i>(lanes);
    if (_mm512_test_epi64_mask(all, all) != 0) {
        return false;
    }
    fill_wide<false>(row, count, first, step);
    return true;
}

KVMIOMMU_KIND("avx2")
bool replace_wide(std::uint64_t* row, std::size_t count, std::uint64_t old, std::uint64_t mask,
                  std::uint64_t first, std::uint64_t step) {
    Lanes lanes;
    find_differences(row, count, old, mask, lanes);
    const auto half = reinterpret_cast<__m256i>(__builtin_shufflevector(lanes, lanes, 0, 1, 2, 3) |
                                                __builtin_shufflevector(lanes, lanes, 4, 5, 6, 7));
    if (_mm256_testz_si256(half, half) == 0) {
        return false;
    }
    fill_wide<false>(row, count, first, step);
    return true;
}
#endif

KVMIOMMU_KIND("default")
bool replace_wide(std::uint64_t* row, std::size_t count, std::uint64_t old, std::uint64_t mask,
                  std::uint64_t first, std::uint64_t step) {
    return replace_by_lanes<false>(row, count, old, mask, first, step);
}

}  // namespace

KVMIOMMU_PICKED void fill(std::uint64_t* row, std::size_t count, std::uint64_t first,
                          std::uint64_t step) {
    if (count < kLanes) {
        return fill_each<false>(row, count, first, step);
    }
    fill_wide<false>(row, count, first, step);
}

bool replace(std::uint64_t* row, std::size_t count, std::uint64_t old, std::uint64_t mask,
             std::uint64_t first, std::uint64_t step) {
    return count < kLanes ? replace_each<false>(row, count, old, mask, first, step)
                          : replace_wide(row, count, old, mask, first, step);
}

KVMIOMMU_PICKED bool replace_swapped(std::uint64_t* row, std::size_t count, std::uint64_t old,
                                     std::uint64_t mask, std::uint64_t first, std::uint64_t step) {
    return count < kLanes ? replace_each<true>(row, count, old, mask, first, step)
                          : replace_by_lanes<true>(row, count, old, mask, first, step);
}

#endif

}  // namespace kvmiommu::wide
