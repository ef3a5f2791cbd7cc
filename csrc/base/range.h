// SPDX-License-Identifier: MIT
//
// Ranges of a 64-bit space. The end is inclusive, so that a range can include the last page.

#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>

namespace kvmiommu {

/// [start, last] with start <= last: a range is never empty.
struct Range {
    std::uint64_t start;
    std::uint64_t last;

    /// The range of `size` bytes from `start`; nothing if size is 0 or the range wraps.
    static constexpr std::optional<Range> of(std::uint64_t start, std::uint64_t size) {
        const std::uint64_t last = start + (size - 1);
        if (size == 0 || last < start) {
            return std::nullopt;
        }
        return Range{start, last};
    }

    /// Bytes in the range; 0 for the whole 64-bit space.
    constexpr std::uint64_t size() const { return last - start + 1; }
    constexpr bool contains(std::uint64_t value) const { return start <= value && value <= last; }
    constexpr bool contains(const Range& other) const {
        return start <= other.start && other.last <= last;
    }
    constexpr bool overlaps(const Range& other) const {
        return start <= other.last && other.start <= last;
    }
    constexpr std::optional<Range> intersection(const Range& other) const {
        if (!overlaps(other)) {
            return std::nullopt;
        }
        return Range{std::max(start, other.start), std::min(last, other.last)};
    }

    constexpr bool operator==(const Range&) const = default;
};

}  // namespace kvmiommu
