// SPDX-License-Identifier: MIT
//
// Arithmetic on powers of two.

#pragma once

#include <bit>
#include <cstdint>

namespace kvmiommu {

constexpr bool is_power_of_two(std::uint64_t value) {
    return value != 0 && (value & (value - 1)) == 0;  // has_single_bit() counts bits, by a call
}

/// Is `value` a multiple of `unit`, a power of two?
constexpr bool is_aligned(std::uint64_t value, std::uint64_t unit) {
    return (value & (unit - 1)) == 0;
}

constexpr std::uint64_t align_down(std::uint64_t value, std::uint64_t unit) {
    return value & ~(unit - 1);
}

/// Rounds up to a multiple of `unit`; wraps to 0 past the end of the number space.
constexpr std::uint64_t align_up(std::uint64_t value, std::uint64_t unit) {
    return (value + unit - 1) & ~(unit - 1);
}

/// The lowest set bit as a number; 0 for 0.
constexpr std::uint64_t lowest_bit(std::uint64_t value) {
    return value & (~value + 1);
}

/// The highest set bit as a number; 0 for 0.
constexpr std::uint64_t highest_bit(std::uint64_t value) {
    // Fewer instructions than std::bit_floor(). An xor is cheaper than a difference on processors
    // that count bits from the low end.
    return value == 0 ? 0 : std::uint64_t{1} << (63 ^ std::countl_zero(value));
}

/// All bits up to the highest that is set, as a mask; `value` is not 0.
constexpr std::uint64_t up_to(std::uint64_t value) {
    return ~std::uint64_t{0} >> std::countl_zero(value);
}

/// All numbers below 2^bits, as a mask; `bits` may be 64.
constexpr std::uint64_t low_mask(unsigned bits) {
    return bits >= 64 ? ~std::uint64_t{0} : (std::uint64_t{1} << bits) - 1;
}

}  // namespace kvmiommu
