// SPDX-License-Identifier: MIT
//
// The pins of one owner: runs of pages by index, and the pages that are charged for them. A
// contiguous gigabyte is one run and costs as much as a page.

#pragma once

#include <algorithm>
#include <cassert>
#include <cstdint>
#include <optional>
#include <utility>

#include "base/inline_vector.h"
#include "base/range.h"
#include "mm/charge.h"
#include "mm/pin.h"

namespace kvmiommu::mm {

/// Move-only. An index is the owner's number of a byte: an offset, a user address. The destructor
/// unpins and uncharges all; the account must outlive it. Guarded by the owner's lock.
class Pins {
  public:
    Pins() = default;
    /// Charged to `account`.
    explicit Pins(LockedMemory& account) : charge_(account) {}
    Pins(Pins&& other) noexcept
        : memory_(other.memory_),
          charge_(std::move(other.charge_)),
          runs_(std::move(other.runs_)) {}
    Pins& operator=(Pins&& other) noexcept;
    ~Pins() { clear(); }

    bool empty() const { return runs_.empty(); }
    /// Runs that are held.
    std::uint64_t runs() const { return runs_.size(); }
    /// The charge for them, which may be for fewer pages: the owner may have charged some
    /// elsewhere.
    Charge& charge() { return charge_; }
    const Charge& charge() const { return charge_; }

    /// Takes over a pin, at an index behind all others, and charges `pages` pages for it.
    /// ENOMEM they would pass `limit_pages`, and not `exempt`; then the pin is unpinned
    Result<PinnedRun> extend(std::uint64_t index, Pin pin, std::uint64_t pages,
                             std::uint64_t limit_pages, bool exempt);
    /// The same without a charge.
    PinnedRun extend(std::uint64_t index, Pin pin);
    /// Unpins the pages in `range` of indices, page aligned, and returns their bytes. Does not
    /// uncharge.
    std::uint64_t drop(Range range);
    /// Unpins and uncharges all.
    void clear();

    /// The physical address of the byte at an index; nothing: it is not pinned.
    std::optional<PhysAddr> find(std::uint64_t index) const {
        const auto* const run = std::lower_bound(
            runs_.begin(), runs_.end(), index,
            [](const Entry& entry, std::uint64_t wanted) { return entry.last < wanted; });
        if (run == runs_.end()) {
            return std::nullopt;
        }
        const std::uint64_t from_end = run->last - index;
        if (from_end >= run->run.bytes()) {
            return std::nullopt;
        }
        return run->run.address() + (run->run.bytes() - 1 - from_end);
    }
    /// Calls `visit(index, run)`, which returns a Result<>, for each run in order. Returns the
    /// first error.
    template <class Visit>
    Result<> each(Visit&& visit) const {
        for (const Entry& entry : runs_) {
            TRY(visit(entry.last - (entry.run.bytes() - 1), entry.run));
        }
        return {};
    }

  private:
    struct Entry {
        std::uint64_t last;  // index of the last byte
        PinnedRun run;

        std::uint64_t start() const { return last - (run.bytes() - 1); }
    };

    PhysicalMemory* memory_ = nullptr;
    Charge charge_;
    InlineVector<Entry, 1> runs_;  // ascending, disjoint; mostly one
};

}  // namespace kvmiommu::mm
