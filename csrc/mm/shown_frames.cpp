// SPDX-License-Identifier: MIT

#include "mm/shown_frames.h"

#include <sys/mman.h>

#include <algorithm>
#include <iterator>

namespace kvmiommu::mm {

namespace {

constexpr Source kSource{"kvmiommu: mm/shown_frames.h"};

// PROT_WRITE and PROT_EXEC imply reading, as on every machine that is modelled. The host never
// executes these pages.
int host_protection(int protection) {
    return (protection != PROT_NONE ? PROT_READ : PROT_NONE) | (protection & PROT_WRITE);
}

std::unexpected<Refusal> refused() {
    return refuse(ENOMEM, "the host has no room for more mappings", kSource);
}

}  // namespace

bool ShownFrames::after_gap(Runs::const_iterator run) const {
    return run == runs_.begin() ||
           std::prev(run)->second.last(std::prev(run)->first) + 1 != run->first;
}

Result<> ShownFrames::show(std::uint64_t address, HeldFrames frames, int protection) {
    TRY(charge_.grow(2));
    const std::uint64_t end = address + frames.bytes();
    if (!host_show(address, frames.bytes(), host_protection(protection), memory_.file(),
                   frames.slot() << kFrameShift)) {
        // The host may have unmapped the old pages before it failed to map the new ones.
        host_hide(address, frames.bytes());
        settle();
        return refused();
    }
    const auto run = runs_.emplace(address, Run{std::move(frames), protection}).first;
    const auto next = std::next(run);
    mappings_ += after_gap(run) ? 2 : 1;
    mappings_ -= next != runs_.end() && next->first == end ? 1 : 0;
    settle();
    return {};
}

bool ShownFrames::cut_at(std::uint64_t address) const {
    const auto after = runs_.lower_bound(address);
    return after != runs_.begin() &&
           std::prev(after)->second.last(std::prev(after)->first) >= address;
}

std::uint64_t ShownFrames::cuts(Range range) const {
    return (cut_at(range.start) ? 1 : 0) + (cut_at(range.last + 1) ? 1 : 0);
}

void ShownFrames::split(std::uint64_t address) {
    if (!cut_at(address)) {
        return;
    }
    const auto after = runs_.lower_bound(address);
    auto& [start, run] = *std::prev(after);
    runs_.emplace_hint(after, address,
                       Run{run.frames.split_off((address - start) >> kFrameShift), run.protection});
    ++mappings_;
}

void ShownFrames::forget(Range range) {
    drop(range);
    settle();
}

void ShownFrames::drop(Range range) {
    split(range.start);
    split(range.last + 1);
    auto at = runs_.lower_bound(range.start);
    while (at != runs_.end() && at->first <= range.last) {
        mappings_ -= after_gap(at) ? 2 : 1;
        const std::uint64_t end = at->second.last(at->first) + 1;
        at = runs_.erase(at);
        mappings_ += at != runs_.end() && at->first == end ? 1 : 0;
    }
}

Result<> ShownFrames::hide(const std::vector<Range>& ranges) {
    std::uint64_t more = 0;
    for (const Range& range : ranges) {
        more += cuts(range);
    }
    TRY(charge_.grow(more));
    for (std::size_t at = 0; at < ranges.size(); ++at) {
        if (!host_hide(ranges[at].start, ranges[at].size())) {
            for (std::size_t changed = 0; changed <= at; ++changed) {
                restore(ranges[changed]);
            }
            settle();
            return refused();
        }
    }
    for (const Range& range : ranges) {
        drop(range);
    }
    settle();
    return {};
}

void ShownFrames::hide_whole(Range range) {
    if (!host_hide(range.start, range.size())) {
        // Changing whole mappings does not add any, so the host does not refuse it.
        for (auto run = runs_.lower_bound(range.start);
             run != runs_.end() && run->first <= range.last; ++run) {
            if (!host_protect(run->first, run->second.frames.bytes(), PROT_NONE)) {
                run->second.frames.leak();
            }
        }
    }
    forget(range);
}

bool ShownFrames::host_protect_shown(Range range, int protection) const {
    auto run = runs_.upper_bound(range.start);
    if (run != runs_.begin()) {
        --run;
    }
    for (; run != runs_.end() && run->first <= range.last; ++run) {
        const auto part = Range{run->first, run->second.last(run->first)}.intersection(range);
        if (part && !host_protect(part->start, part->size(), host_protection(protection))) {
            return false;
        }
    }
    return true;
}

Result<> ShownFrames::protect(const std::vector<Change>& changes) {
    std::uint64_t more = 0;
    for (const Change& change : changes) {
        more += cuts(change.range);
    }
    TRY(charge_.grow(more));
    for (std::size_t at = 0; at < changes.size(); ++at) {
        if (!host_protect_shown(changes[at].range, changes[at].to)) {
            for (std::size_t changed = 0; changed <= at; ++changed) {
                host_protect_shown(changes[changed].range, changes[changed].from);
            }
            settle();
            return refused();
        }
    }
    for (const auto& [range, from, to] : changes) {
        split(range.start);
        split(range.last + 1);
        for (auto run = runs_.lower_bound(range.start);
             run != runs_.end() && run->first <= range.last; ++run) {
            run->second.protection = to;
        }
    }
    settle();
    return {};
}

void ShownFrames::restore(Range range) {
    auto run = runs_.upper_bound(range.start);
    if (run != runs_.begin()) {
        --run;
    }
    for (; run != runs_.end() && run->first <= range.last; ++run) {
        const auto part = Range{run->first, run->second.last(run->first)}.intersection(range);
        if (part) {
            host_show(part->start, part->size(), host_protection(run->second.protection),
                      memory_.file(),
                      (run->second.frames.slot() << kFrameShift) + (part->start - run->first));
        }
    }
}

}  // namespace kvmiommu::mm
