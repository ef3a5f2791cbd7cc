// SPDX-License-Identifier: MIT

#include "mm/pins.h"

#include <vector>

#include "base/bits.h"

namespace kvmiommu::mm {

Pins& Pins::operator=(Pins&& other) noexcept {
    if (this != &other) {
        clear();
        memory_ = other.memory_;
        charge_ = std::move(other.charge_);
        runs_ = std::move(other.runs_);
    }
    return *this;
}

Result<PinnedRun> Pins::extend(std::uint64_t index, Pin pin, std::uint64_t pages,
                               std::uint64_t limit_pages, bool exempt) {
    TRY(charge_.add(pages, limit_pages, exempt));
    return extend(index, std::move(pin));
}

PinnedRun Pins::extend(std::uint64_t index, Pin pin) {
    assert(runs_.empty() || runs_.back().last < index);
    runs_.push_back({index + (pin.bytes() - 1), pin.run()});
    memory_ = std::exchange(pin.memory_, nullptr);
    return pin.run();
}

std::uint64_t Pins::drop(Range range) {
    auto* const first = std::lower_bound(
        runs_.begin(), runs_.end(), range.start,
        [](const Entry& entry, std::uint64_t index) { return entry.last < index; });
    std::uint64_t bytes = 0;
    std::vector<Entry> kept;  // the parts of the first and the last run outside of the range
    auto* end = first;
    for (; end != runs_.end() && end->start() <= range.last; ++end) {
        const std::uint64_t start = end->start();
        const Range gone{std::max(start, range.start), std::min(end->last, range.last)};
        end->run.part(gone.start - start, gone.size()).unpin(*memory_);
        bytes += gone.size();
        if (start < gone.start) {
            kept.push_back({gone.start - 1, end->run.part(0, gone.start - start)});
        }
        if (gone.last < end->last) {
            const std::uint64_t left = end->last - gone.last;
            kept.push_back({end->last, end->run.part(end->run.bytes() - left, left)});
        }
    }
    runs_.replace(first, end, kept);
    return bytes;
}

void Pins::clear() {
    for (const Entry& entry : runs_) {
        entry.run.unpin(*memory_);
    }
    runs_.clear();
    charge_.clear();
}

}  // namespace kvmiommu::mm
