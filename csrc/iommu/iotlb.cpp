// SPDX-License-Identifier: MIT

#include "iommu/iotlb.h"

#include <utility>

namespace kvmiommu::iommu {

// --- what all of a machine have in common ---

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

Iotlb::Entry* Iotlb::find(std::uint64_t iova) {
    const auto found = entries_.find(iova & ~kOffset);
    if (found == entries_.end()) {
        ++figures_.misses;
        return nullptr;
    }
    ++figures_.hits;
    return &found->second;
}

Iotlb::Entry& Iotlb::insert(std::uint64_t iova, const Translation& found) {
    while (entries_.size() >= kEntries && !order_.empty()) {
        entries_.erase(order_.front());
        order_.pop_front();
    }
    const std::uint64_t page = iova & ~kOffset;
    order_.push_back(page);
    return entries_
        .insert_or_assign(page, Entry{found.address & ~kOffset, found.protection, false, 0, {}})
        .first->second;
}

void Iotlb::record(const std::string& device, std::uint64_t iova, mm::Access access,
                   const Entry& entry) {
    ++figures_.stale_uses;
    control_.record({0, device, iova, access, entry.unmap, entry.unmapped});
}

void Iotlb::mark(Range range) {
    const std::uint64_t number = control_.unmaps_.fetch_add(1, std::memory_order_relaxed) + 1;
    for (auto at = entries_.lower_bound(range.start & ~kOffset);
         at != entries_.end() && at->first <= range.last; ++at) {
        if (at->second.unmap == 0) {
            at->second.unmap = number;
            at->second.unmapped = range;
        }
    }
}

void Iotlb::drop(Range range) {
    entries_.erase(entries_.lower_bound(range.start & ~kOffset), entries_.upper_bound(range.last));
    ++figures_.invalidations;
    // The names of what is gone must not pile up.
    if (entries_.empty() || order_.size() > 2 * kEntries) {
        std::erase_if(order_, [this](std::uint64_t page) {
            mutex_.assert_held();
            return !entries_.contains(page);
        });
    }
}

void Iotlb::unmapped(Range range) {
    const Lock lock(mutex_);
    if (control_.strict()) {
        drop(range);
        return;
    }
    // A full queue is worked off first, and the new one waits in it alone.
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
