// SPDX-License-Identifier: MIT
//
// The frames that the host maps at the user addresses of an emulated process: the counterpart of
// the process's page tables (mm/memory.c). Each has a reference for that, so that it stays when its
// file is truncated. Guarded by the owner's lock.
//
// The host has at most one mapping for each run and one for each gap in front of a run; both are
// charged. A gap at the end of reserved addresses is charged with the reservation.

#pragma once

#include <cstdint>
#include <map>
#include <vector>

#include "base/base.h"
#include "mm/held_frames.h"
#include "mm/host_mappings.h"

namespace kvmiommu::mm {

class ShownFrames {
  public:
    explicit ShownFrames(PhysicalMemory& memory) : memory_(memory) {}
    ShownFrames(const ShownFrames&) = delete;
    ShownFrames& operator=(const ShownFrames&) = delete;

    /// Maps frames at addresses without any. Nothing has changed when it fails.
    /// ENOMEM too many mappings for the host, or the host refuses
    Result<> show(std::uint64_t address, HeldFrames frames, int protection);
    /// Unmaps all frames in `ranges`, each within one reservation. Nothing has changed when it
    /// fails.
    /// ENOMEM too many mappings for the host, or the host refuses
    Result<> hide(const std::vector<Range>& ranges);
    /// The same for a range that splits no run. Does not fail: frames that the host refuses to
    /// unmap are leaked.
    void hide_whole(Range range);
    /// Called when the host has nothing mapped in the range any more.
    void forget(Range range);

    struct Change {
        Range range;
        int from;
        int to;
    };
    /// Changes the protection of mapped frames. Nothing has changed when it fails.
    /// ENOMEM too many mappings for the host, or the host refuses
    Result<> protect(const std::vector<Change>& changes);

  private:
    struct Run {
        HeldFrames frames;
        int protection;

        std::uint64_t last(std::uint64_t start) const { return start + frames.bytes() - 1; }
    };
    using Runs = std::map<std::uint64_t, Run>;

    // The number of ends of the range that are inside a run.
    std::uint64_t cuts(Range range) const;
    bool cut_at(std::uint64_t address) const;
    bool host_protect_shown(Range range, int protection) const;
    // Maps the frames again after a host_hide(), as far as the host allows: the kernel's copies do
    // not need the host's mappings.
    void restore(Range range);
    void split(std::uint64_t address);
    void drop(Range range);
    bool after_gap(Runs::const_iterator run) const;
    // Uncharges what show() and its like charged in advance.
    void settle() { charge_.shrink_to(mappings_); }

    PhysicalMemory& memory_;
    Runs runs_;
    std::uint64_t mappings_ = 0;
    HostCharge charge_;
};

}  // namespace kvmiommu::mm
