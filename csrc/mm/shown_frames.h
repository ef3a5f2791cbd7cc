// SPDX-License-Identifier: MIT
//
// What the host shows at the user addresses of an emulated process: the part that page tables have
// in a kernel. A frame that is shown has a reference for it, whatever becomes of the file that it
// came from. Whoever has one of these guards it.
//
// The host has at most a mapping for each run that is shown, and one for each gap before a run;
// both are charged. A gap at the end of reserved addresses is charged with those.

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

    /// Shows frames where nothing is shown. ENOMEM: nothing has changed.
    Result<> show(std::uint64_t address, HeldFrames frames, int protection);

    /// Shows nothing in any of `ranges` any more, as one step; each lies within addresses that were
    /// reserved at once. ENOMEM: nothing has changed.
    Result<> hide(const std::vector<Range>& ranges);
    /// The same for a range that cuts no run. This cannot fail: frames that a host which is out of
    /// everything goes on showing are never used again.
    void hide_whole(Range range);
    /// The host shows nothing there any more.
    void forget(Range range);

    struct Change {
        Range range;
        int from;
        int to;
    };
    /// Changes the protection of what is shown, as one step. ENOMEM: nothing has changed.
    Result<> protect(const std::vector<Change>& changes);

  private:
    struct Run {
        HeldFrames frames;
        int protection;

        std::uint64_t last(std::uint64_t start) const { return start + frames.bytes() - 1; }
    };
    using Runs = std::map<std::uint64_t, Run>;

    // How many runs go on over an end of the range.
    std::uint64_t cuts(Range range) const;
    bool cut_at(std::uint64_t address) const;
    bool host_protect_shown(Range range, int protection) const;
    // After a host_hide(): as good as the host allows. The kernel's copies need none of it.
    void restore(Range range);
    void split(std::uint64_t address);
    void drop(Range range);
    bool after_gap(Runs::const_iterator run) const;
    // Charges what there is, no more.
    void settle() { charge_.shrink_to(mappings_); }

    PhysicalMemory& memory_;
    Runs runs_;
    std::uint64_t mappings_ = 0;
    HostCharge charge_;
};

}  // namespace kvmiommu::mm
