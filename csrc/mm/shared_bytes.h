// SPDX-License-Identifier: MIT
//
// RAM that processes, guests and devices read and write at any time, as copy_from_user() and a
// device's access do: what two of them do to the same bytes at once is a race of theirs, not of the
// emulator. (include/asm-generic/rwonce.h)

#pragma once

#include <atomic>
#include <cstddef>
#include <cstring>

#include "base/sanitizers.h"
#ifdef KVMIOMMU_TSAN
#include <bit>
#include <cstdint>
#endif

namespace kvmiommu::mm {

/// One field of such memory, which is aligned.
template <class T>
T read_once(T& from) {
    return std::atomic_ref(from).load(std::memory_order_relaxed);
}
template <class T>
void write_once(T& to, T value) {
    std::atomic_ref(to).store(value, std::memory_order_relaxed);
}

#ifndef KVMIOMMU_TSAN

/// Copies from such memory, or to it, or both.
inline void copy_shared(void* to, const void* from, std::size_t bytes) {
    std::memcpy(to, from, bytes);
}
/// Clears such memory while it is in use.
inline void clear_shared(void* at, std::size_t bytes) {
    std::memset(at, 0, bytes);
}

#else

// Atomic, so that TSan reports no race between two of these, and still reports one with the
// emulator's own use of a frame, such as clearing it when it is freed.

template <class Visit>
void each_word(std::uintptr_t alignment, std::size_t bytes, const Visit& visit) {
    for (std::size_t at = 0; at < bytes;) {
        if ((alignment | at) % sizeof(std::uint64_t) == 0 && bytes - at >= sizeof(std::uint64_t)) {
            visit(at, std::uint64_t{});
            at += sizeof(std::uint64_t);
        } else {
            visit(at, std::uint8_t{});
            ++at;
        }
    }
}

inline void copy_shared(void* to, const void* from, std::size_t bytes) {
    auto* const target = static_cast<std::byte*>(to);
    auto* const source = const_cast<std::byte*>(static_cast<const std::byte*>(from));
    const auto alignment =
        std::bit_cast<std::uintptr_t>(target) | std::bit_cast<std::uintptr_t>(source);
    each_word(alignment, bytes, [&](std::size_t at, auto word) {
        using Word = decltype(word);
        write_once(*reinterpret_cast<Word*>(target + at),
                   read_once(*reinterpret_cast<Word*>(source + at)));
    });
}
inline void clear_shared(void* at, std::size_t bytes) {
    auto* const target = static_cast<std::byte*>(at);
    each_word(std::bit_cast<std::uintptr_t>(target), bytes, [&](std::size_t offset, auto zero) {
        write_once(*reinterpret_cast<decltype(zero)*>(target + offset), zero);
    });
}

#endif

}  // namespace kvmiommu::mm
