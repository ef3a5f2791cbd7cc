// SPDX-License-Identifier: MIT
//
// A count for each page of a space, stored by ranges of equal counts: a contiguous gigabyte that
// was pinned once is one entry.

#pragma once

#include <algorithm>
#include <cassert>
#include <cstdint>
#include <iterator>
#include <map>

namespace kvmiommu {

/// A map from page numbers to counts. A change costs a look-up and a step for each range of equal
/// counts within its pages.
class RangeCounts {
  public:
    /// Adds 1 to the counts of `pages` pages from `first`. `pages` is not 0.
    void add(std::uint64_t first, std::uint64_t pages) {
        change(first, pages, +1, [](std::uint64_t, std::uint64_t) {});
    }

    /// Subtracts 1; no count is 0. Calls `freed(first, pages)` for every run whose count becomes 0.
    template <class Freed>
    void remove(std::uint64_t first, std::uint64_t pages, Freed&& freed) {
        change(first, pages, -1, freed);
    }

    /// The count of `page`.
    std::uint32_t count(std::uint64_t page) const {
        auto after = edges_.upper_bound(page);
        return after == edges_.begin() ? 0 : std::prev(after)->second;
    }

    /// Calls `visit(first, pages, count)` for each run of equal counts in [first, first + pages),
    /// in order, including zero counts.
    template <class Visit>
    void each(std::uint64_t first, std::uint64_t pages, Visit&& visit) const {
        const std::uint64_t end = first + pages;
        auto next = edges_.upper_bound(first);
        std::uint32_t value = next == edges_.begin() ? 0 : std::prev(next)->second;
        for (std::uint64_t at = first; at < end;) {
            const std::uint64_t stop = next == edges_.end() ? end : std::min(next->first, end);
            visit(at, stop - at, value);
            at = stop;
            if (next != edges_.end() && at == next->first) {
                value = next->second;
                ++next;
            }
        }
    }

    /// Pages whose count is not 0.
    std::uint64_t counted_pages() const { return counted_pages_; }
    /// The sum of all counts.
    std::uint64_t total() const { return total_; }
    bool empty() const { return edges_.empty(); }

  private:
    using Edges = std::map<std::uint64_t, std::uint32_t>;

    // Makes `page` the start of an entry, so that counts can change from there on.
    Edges::iterator split(std::uint64_t page) {
        auto at = edges_.lower_bound(page);
        if (at != edges_.end() && at->first == page) {
            return at;
        }
        const std::uint32_t value = at == edges_.begin() ? 0 : std::prev(at)->second;
        return edges_.emplace_hint(at, page, value);
    }

    // An entry that says what the one before it says is none.
    void merge(Edges::iterator at) {
        if (at == edges_.end()) {
            return;
        }
        const std::uint32_t before = at == edges_.begin() ? 0 : std::prev(at)->second;
        if (at->second == before) {
            edges_.erase(at);
        }
    }

    template <class Freed>
    void change(std::uint64_t first, std::uint64_t pages, int step, Freed&& freed) {
        assert(pages != 0);
        const auto begin = split(first);
        const auto end = split(first + pages);
        for (auto at = begin; at != end;) {
            const auto next = std::next(at);
            const std::uint64_t run = next->first - at->first;
            assert(step > 0 || at->second > 0);
            at->second += static_cast<std::uint32_t>(step);
            if (step > 0 && at->second == 1) {
                counted_pages_ += run;
            }
            if (step < 0 && at->second == 0) {
                counted_pages_ -= run;
                freed(at->first, run);
            }
            at = next;
        }
        total_ += step > 0 ? pages : -pages;
        // The differences within the range are unchanged: only at its two ends can neighbours have
        // become equal.
        merge(end);
        merge(begin);
    }

    Edges edges_;  // the count from a page up to the next entry
    std::uint64_t counted_pages_ = 0;
    std::uint64_t total_ = 0;
};

}  // namespace kvmiommu
