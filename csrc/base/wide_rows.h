// SPDX-License-Identifier: MIT
//
// The functions of wide.h for registers of any number of words. What is instantiated here is
// compiled for the processor of the file that includes it: a vector type is lowered to the
// registers of the function it is first written in, before that is inlined anywhere, so one file
// has one kind (wide_avx2.cpp and its like).
//
// All of it has internal linkage and is inlined, and nothing of the standard library is called: the
// linker would take one copy of an inline function for all files, perhaps that of the newest
// processor.

#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>

#include "base/wide.h"

namespace kvmiommu::wide {

namespace {

/// Reads of words that others may write, and writes that they may read, one word at a time.
template <class Word, bool kSwapped = false>
struct WordByWord {
    [[gnu::always_inline]] static void fill(Word* row, std::size_t count, Word first, Word step) {
        for (std::size_t at = 0; at < count; ++at) {
            __atomic_store_n(row + at, in_order(first), __ATOMIC_RELEASE);
            first += step;
        }
    }
    [[gnu::always_inline]] static bool all_are(const Word* row, std::size_t count, Word old,
                                               Word mask) {
        Word differences = 0;
        for (std::size_t at = 0; at < count; ++at) {
            differences |= (__atomic_load_n(row + at, __ATOMIC_ACQUIRE) ^ old) & mask;
        }
        return differences == 0;
    }

  private:
    [[gnu::always_inline]] static Word in_order(Word word) {
        if constexpr (kSwapped) {
            static_assert(sizeof(Word) == 8);
            return __builtin_bswap64(word);
        } else {
            return word;
        }
    }
};

// A type with such attributes cannot depend on a template's arguments by `using` (gcc 12).
template <class Element, std::size_t kCount>
struct VectorType {
    // At any place: a row begins at any word.
    typedef Element Type __attribute__((vector_size(kCount * sizeof(Element)),
                                        aligned(sizeof(std::uint64_t)), may_alias));
};
template <class Element, std::size_t kCount>
using Vector = VectorType<Element, kCount>::Type;

/// The same with registers of `kLanes` words, for rows that fill one at least.
template <std::size_t kLanes, bool kSwapped = false>
struct LaneByLane {
    using Word = std::uint64_t;
    using Lanes = Vector<Word, kLanes>;

    [[gnu::always_inline]] static void fill(Word* row, std::size_t count, Word first, Word step) {
        // The tables that the entries point to are written before the entries.
        __atomic_thread_fence(__ATOMIC_RELEASE);
        Lanes words = first + multiples(step, std::make_index_sequence<kLanes>());
        std::size_t at = 0;
        do {
            *reinterpret_cast<Lanes*>(row + at) =
                in_order(words, std::make_index_sequence<sizeof(Lanes)>());
            words += kLanes * step;
            at += kLanes;
        } while (at + kLanes <= count);
        // Not with overlapping lanes, which would overwrite marks that a device has set meanwhile.
        WordByWord<Word, kSwapped>::fill(row + at, count - at, first + at * step, step);
    }
    // A row whose length is not a multiple of the lanes ends with lanes that overlap the ones
    // before.
    [[gnu::always_inline]] static bool all_are(const Word* row, std::size_t count, Word old,
                                               Word mask) {
        const std::size_t last = count - kLanes;
        Lanes differences = (*reinterpret_cast<const Lanes*>(row + last) ^ old) & mask;
        for (std::size_t at = 0; at < last; at += kLanes) {
            differences |= (*reinterpret_cast<const Lanes*>(row + at) ^ old) & mask;
        }
        return all_zero(differences, std::make_index_sequence<kLanes / 2>());
    }

  private:
    // 0, step, 2 * step and so on: each bit of a lane's number adds its part. Few processors
    // multiply words of 64 bits.
    template <std::size_t kBit = 1, std::size_t... kEach>
    [[gnu::always_inline]] static Lanes multiples(Word step, std::index_sequence<kEach...> lanes) {
        if constexpr (kBit == kLanes) {
            return Lanes{};
        } else {
            const Lanes with_bit = {((kEach & kBit) != 0 ? ~Word{0} : 0)...};
            return (with_bit & (kBit * step)) + multiples<2 * kBit>(step, lanes);
        }
    }
    // Reverses the bytes of each word.
    template <std::size_t... kEach>
    [[gnu::always_inline]] static Lanes in_order(const Lanes& words,
                                                 std::index_sequence<kEach...>) {
        if constexpr (kSwapped) {
            const auto bytes = reinterpret_cast<Vector<unsigned char, sizeof(Lanes)>>(words);
            return reinterpret_cast<Lanes>(__builtin_shufflevector(bytes, bytes, (kEach ^ 7)...));
        } else {
            return words;
        }
    }
    // Folds one half onto the other until a word is left.
    template <std::size_t... kEach>
    [[gnu::always_inline]] static bool all_zero(const Vector<Word, 2 * sizeof...(kEach)>& words,
                                                std::index_sequence<kEach...>) {
        constexpr std::size_t kHalf = sizeof...(kEach);
        if constexpr (kHalf == 1) {
            return (words[0] | words[1]) == 0;
        } else {
            const Vector<Word, kHalf> half =
                __builtin_shufflevector(words, words, kEach...) |
                __builtin_shufflevector(words, words, (kHalf + kEach)...);
            return all_zero(half, std::make_index_sequence<kHalf / 2>());
        }
    }
};

/// The functions of a Kind. Of one lane: word by word.
template <std::size_t kLanes>
struct RowsOf {
    using Word = std::uint64_t;

    static void fill(Word* row, std::size_t count, Word first, Word step) {
        fill_row<false>(row, count, first, step);
    }
    static bool replace(Word* row, std::size_t count, Word old, Word mask, Word first, Word step) {
        return replace_row<false>(row, count, old, mask, first, step);
    }
    static bool replace_swapped(Word* row, std::size_t count, Word old, Word mask, Word first,
                                Word step) {
        return replace_row<true>(row, count, old, mask, first, step);
    }

  private:
    template <bool kSwapped>
    [[gnu::always_inline]] static void fill_row(Word* row, std::size_t count, Word first,
                                                Word step) {
        if constexpr (kLanes > 1) {
            if (count >= kLanes) {
                LaneByLane<kLanes, kSwapped>::fill(row, count, first, step);
                return;
            }
        }
        WordByWord<Word, kSwapped>::fill(row, count, first, step);
    }
    [[gnu::always_inline]] static bool all_are(const Word* row, std::size_t count, Word old,
                                               Word mask) {
        if constexpr (kLanes > 1) {
            if (count >= kLanes) {
                return LaneByLane<kLanes>::all_are(row, count, old, mask);
            }
        }
        return WordByWord<Word>::all_are(row, count, old, mask);
    }
    template <bool kSwapped>
    [[gnu::always_inline]] static bool replace_row(Word* row, std::size_t count, Word old,
                                                   Word mask, Word first, Word step) {
        if (!all_are(row, count, old, mask)) {
            return false;
        }
        fill_row<kSwapped>(row, count, first, step);
        return true;
    }
};

template <std::size_t kLanes>
constexpr Kind kind_of(const char* name) {
    return {name, RowsOf<kLanes>::fill, RowsOf<kLanes>::replace, RowsOf<kLanes>::replace_swapped};
}

}  // namespace

/// The kinds whose functions need more than the oldest processor; only some may be called. Their
/// section says so to a program that looks for such functions (tests/distribution/baseline.py).
#define KVMIOMMU_NEWER_KIND [[gnu::section("newer_kinds")]]
extern const Kind kAvx512;
extern const Kind kAvx2;

}  // namespace kvmiommu::wide
