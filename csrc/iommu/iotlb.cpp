// SPDX-License-Identifier: MIT

#include "iommu/iotlb.h"

#include <algorithm>
#include <iterator>
#include <utility>

namespace kvmiommu::iommu {

// --- what all of a machine share ---

void IotlbControl::add(Iotlb& iotlb) {
    const Lock lock(all_mutex_);
    all_.insert(&iotlb);
}

void IotlbControl::remove(Iotlb& iotlb) {
    const IotlbFigures last = iotlb.figures();
    const Lock lock(all_mutex_);
    all_.erase(&iotlb);
    gone_.hits += last.hits;
    gone_.misses += last.misses;
    gone_.stale_uses += last.stale_uses;
    gone_.invalidations += last.invalidations;
}

void IotlbControl::record(StaleUse use) {
    const Lock lock(log_mutex_);
    use.sequence = next_++;
    if (stale_.size() == kMostKept) {
        stale_.pop_front();
    }
    stale_.push_back(std::move(use));
}

void IotlbControl::flush() {
    const Lock lock(all_mutex_);
    for (Iotlb* const iotlb : all_) {
        if (iotlb->figures().queued != 0) {
            iotlb->invalidate_all();
        }
    }
}

IotlbFigures IotlbControl::figures() const {
    const Lock lock(all_mutex_);
    IotlbFigures sum = gone_;
    for (const Iotlb* const iotlb : all_) {
        const IotlbFigures each = iotlb->figures();
        sum.hits += each.hits;
        sum.misses += each.misses;
        sum.stale_uses += each.stale_uses;
        sum.invalidations += each.invalidations;
        sum.queued += each.queued;
    }
    return sum;
}

std::vector<StaleUse> IotlbControl::stale_uses() const {
    const Lock lock(log_mutex_);
    return {stale_.begin(), stale_.end()};
}

// --- one domain's ---

Iotlb::Iotlb(IotlbControl& control) : control_(control) {
    control_.add(*this);
}

Iotlb::~Iotlb() {
    control_.remove(*this);
}

Iotlb::Entries::iterator Iotlb::find(std::uint64_t iova) {
    const auto behind = entries_.upper_bound(iova);
    if (behind == entries_.begin() || std::prev(behind)->second.last < iova) {
        ++figures_.misses;
        return entries_.end();
    }
    ++figures_.hits;
    return std::prev(behind);
}

Iotlb::Entries::iterator Iotlb::insert(std::uint64_t iova, const Translation& found) {
    while (entries_.size() >= kEntries && !order_.empty()) {
        entries_.erase(order_.front());
        order_.pop_front();
    }
    // Stale entries stay beside it, be they of a smaller leaf that was in the same place.
    std::uint64_t start = std::max(found.leaf.start, iova & ~kOffset);
    std::uint64_t last = std::min(found.leaf.last, iova | kOffset);
    const auto behind = entries_.upper_bound(iova);
    if (behind != entries_.end()) {
        last = std::min(last, behind->first - 1);
    }
    if (behind != entries_.begin()) {
        start = std::max(start, std::prev(behind)->second.last + 1);
    }
    order_.push_back(start);
    return entries_.emplace_hint(behind, start,
                                 Entry{.last = last,
                                       .address = found.address - (iova - start),
                                       .protection = found.protection,
                                       .leaf = found.leaf});
}

void Iotlb::record(const std::string& device, std::uint64_t iova, mm::Access access,
                   const Entry& entry) {
    ++figures_.stale_uses;
    control_.record({0, device, iova, access, entry.unmap, entry.unmapped});
}

void Iotlb::mark(Range range) {
    const std::uint64_t number = control_.unmaps_.fetch_add(1, std::memory_order_relaxed) + 1;
    auto at = entries_.lower_bound(range.start);
    if (at != entries_.begin() && std::prev(at)->second.last >= range.start) {
        --at;
    }
    for (; at != entries_.end() && at->first <= range.last; ++at) {
        if (at->second.unmap == 0) {
            at->second.unmap = number;
            at->second.unmapped = range;
        }
    }
}

void Iotlb::drop(Range range) {
    ++figures_.invalidations;
    if (entries_.empty()) {
        order_.clear();
        return;
    }
    auto from = entries_.lower_bound(range.start);
    auto to = entries_.upper_bound(range.last);
    // As hardware does: whatever part of a leaf is invalidated, all of it is.
    while (from != entries_.begin() && std::prev(from)->second.leaf.last >= range.start) {
        --from;
    }
    while (to != entries_.end() && to->second.leaf.start <= range.last) {
        ++to;
    }
    entries_.erase(from, to);
    // What is gone must not pile up there.
    if (entries_.empty() || order_.size() > 2 * kEntries) {
        std::erase_if(order_, [this](std::uint64_t start) {
            mutex_.assert_held();
            return !entries_.contains(start);
        });
    }
}

void Iotlb::unmapped(Range range) {
    const Lock lock(mutex_);
    if (control_.strict()) {
        drop(range);
        return;
    }
    // A full queue is flushed first.
    if (queued_ == kQueue) {
        drop({0, ~std::uint64_t{0}});
        queued_ = 0;
    }
    mark(range);
    ++queued_;
}

void Iotlb::mark_unmapped(Range range) {
    const Lock lock(mutex_);
    mark(range);
}

void Iotlb::invalidate(Range range) {
    const Lock lock(mutex_);
    drop(range);
}

void Iotlb::invalidate_all() {
    const Lock lock(mutex_);
    drop({0, ~std::uint64_t{0}});
    queued_ = 0;
}

IotlbFigures Iotlb::figures() const {
    const Lock lock(mutex_);
    IotlbFigures figures = figures_;
    figures.queued = queued_;
    return figures;
}

}  // namespace kvmiommu::iommu
