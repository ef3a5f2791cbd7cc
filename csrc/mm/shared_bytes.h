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

/// Copies from such memory, or to it. The other side is the caller's alone.
inline void copy_from_shared(void* to, const std::byte* from, std::size_t bytes) {
    std::memcpy(to, from, bytes);
}
inline void copy_to_shared(std::byte* to, const void* from, std::size_t bytes) {
    std::memcpy(to, from, bytes);
}

#else

// Atomic, so that TSan reports no race between two of these, and still reports one with the
// emulator's own use of a frame, such as clearing it when it is freed.

template <class Copy>
void each_word(const std::byte* shared, std::size_t bytes, const Copy& copy) {
    for (std::size_t at = 0; at < bytes;) {
        const auto aligned =
            std::bit_cast<std::uintptr_t>(shared + at) % sizeof(std::uint64_t) == 0;
        if (aligned && bytes - at >= sizeof(std::uint64_t)) {
            copy(at, std::uint64_t{});
            at += sizeof(std::uint64_t);
        } else {
            copy(at, std::uint8_t{});
            ++at;
        }
    }
}

inline void copy_from_shared(void* to, const std::byte* from, std::size_t bytes) {
    each_word(from, bytes, [&](std::size_t at, auto word) {
        auto* const place = const_cast<std::byte*>(from + at);
        word = read_once(*reinterpret_cast<decltype(word)*>(place));
        std::memcpy(static_cast<std::byte*>(to) + at, &word, sizeof word);
    });
}
inline void copy_to_shared(std::byte* to, const void* from, std::size_t bytes) {
    each_word(to, bytes, [&](std::size_t at, auto word) {
        std::memcpy(&word, static_cast<const std::byte*>(from) + at, sizeof word);
        write_once(*reinterpret_cast<decltype(word)*>(to + at), word);
    });
}

#endif

}  // namespace kvmiommu::mm
