// SPDX-License-Identifier: MIT
//
// Where a random program gets its choices from: bytes, which a fuzzer changes one by one, or a
// seed. Either way the same source makes the same program wherever clang builds it, as it does for
// sanitizers and fuzzers: the order in which another compiler evaluates arguments is its own.

#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace kvmiommu::guests {

class Choices {
  public:
    explicit Choices(std::span<const std::uint8_t> bytes) : bytes_(bytes), seeded_(false) {}
    explicit Choices(std::uint64_t seed) : seeded_(true), state_(seed * 2 + 1) {}

    /// Nothing is left to choose from: every choice that follows is 0.
    bool exhausted() const { return !seeded_ && bytes_.empty(); }

    /// From 0 up to, not including, `end`. Few bytes for few choices, so that one byte is one.
    std::uint64_t below(std::uint64_t end) {
        if (seeded_) {
            return (next() >> 16) % end;
        }
        return take(end <= 0x100 ? 1 : end <= 0x10000 ? 2 : 8) % end;
    }
    bool one_in(std::uint64_t many) { return below(many) == many - 1; }
    std::uint64_t number() { return seeded_ ? next() : take(8); }

    template <class T>
    T of(std::span<const T> some) {
        return some[below(some.size())];
    }
    template <class T, std::size_t size>
    T of(const T (&some)[size]) {
        return some[below(size)];
    }

  private:
    // xorshift64*
    std::uint64_t next() {
        state_ ^= state_ >> 12;
        state_ ^= state_ << 25;
        state_ ^= state_ >> 27;
        return state_ * 0x2545f4914f6cdd1d;
    }
    std::uint64_t take(unsigned count) {
        std::uint64_t value = 0;
        for (unsigned at = 0; at < count && !bytes_.empty(); ++at) {
            value |= std::uint64_t{bytes_.front()} << 8 * at;
            bytes_ = bytes_.subspan(1);
        }
        return value;
    }

    std::span<const std::uint8_t> bytes_;
    const bool seeded_;
    std::uint64_t state_ = 0;
};

}  // namespace kvmiommu::guests
