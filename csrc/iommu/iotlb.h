// SPDX-License-Identifier: MIT
//
// Translations that the IOMMU keeps. They stay until they are invalidated: a device that comes back
// after an unmap and before its invalidation gets through, as on hardware, and that is told of.
//
// When invalidations happen is the kernel's choice
// (Documentation/admin-guide/kernel-parameters.txt: iommu.strict): with every unmap, or some time
// later for many of them at once, from a flush queue (drivers/iommu/dma-iommu.c: fq_flush_iotlb).
// Nothing here reads a clock: a queue is flushed when it is full, or when somebody says that the
// time has come.

#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/base.h"
#include "iommu/lock_order.h"
#include "iommu/translation.h"
#include "mm/address_space.h"

namespace kvmiommu::iommu {

class Iotlb;

/// A device used a translation that was unmapped already.
struct StaleUse {
    std::uint64_t sequence;  // counts all of the machine
    std::string device;
    std::uint64_t iova;
    mm::Access access;
    std::uint64_t unmap;  // which unmap it was, counted from 1
    Range unmapped;       // what that one took
};

struct IotlbFigures {
    std::uint64_t hits = 0;
    std::uint64_t misses = 0;
    std::uint64_t stale_uses = 0;
    std::uint64_t invalidations = 0;  // of ranges, and of all entries of a domain
    std::uint64_t queued = 0;         // unmaps that wait for one now
};

/// What the IOTLBs of a machine have in common: their mode, their figures, their records.
class IotlbControl {
  public:
    static constexpr std::size_t kMostKept = 1024;

    /// Strict: an unmap ends with its invalidation. Else it waits in a queue.
    explicit IotlbControl(bool strict) : strict_(strict) {}
    IotlbControl(const IotlbControl&) = delete;
    IotlbControl& operator=(const IotlbControl&) = delete;

    bool strict() const { return strict_; }
    /// The flush queues' time has come: all of them are worked off.
    void flush() EXCLUDES(all_mutex_);
    IotlbFigures figures() const EXCLUDES(all_mutex_);
    /// The last ones, the oldest first.
    std::vector<StaleUse> stale_uses() const EXCLUDES(log_mutex_);

  private:
    friend class Iotlb;
    void add(Iotlb& iotlb) EXCLUDES(all_mutex_);
    void remove(Iotlb& iotlb) EXCLUDES(all_mutex_);
    void record(StaleUse use) EXCLUDES(log_mutex_);

    // An Iotlb's own mutex is taken after the first and before the second.
    const bool strict_;
    mutable Mutex all_mutex_{lock_order::kAllIotlbs};
    std::set<Iotlb*> all_ GUARDED_BY(all_mutex_);
    IotlbFigures gone_ GUARDED_BY(all_mutex_);  // of those that are no more
    mutable Mutex log_mutex_{lock_order::kStaleUses};
    std::deque<StaleUse> stale_ GUARDED_BY(log_mutex_);
    std::uint64_t next_ GUARDED_BY(log_mutex_) = 0;
    std::atomic<std::uint64_t> unmaps_{0};
};

/// The entries of one domain, for 4 KiB each: whatever the size of a page, parts of it come and go
/// alone.
class Iotlb {
  public:
    static constexpr std::size_t kEntries = 4096;
    /// As many unmaps wait at most (include/linux/dma-iommu.h: IOVA_DEFAULT_FQ_SIZE).
    static constexpr std::size_t kQueue = 256;

    explicit Iotlb(IotlbControl& control);
    ~Iotlb();
    Iotlb(const Iotlb&) = delete;
    Iotlb& operator=(const Iotlb&) = delete;

    struct Found {
        Translation translation;
        bool stale = false;
    };
    /// Uses the translation of an iova, kept or walked for. `walk` returns what the table says now,
    /// `note_write` marks the page as written to, `use` moves the data. All three are called under
    /// this object's mutex, the window of the access: an unmap that comes while it is open is
    /// invalidated, and returns, once it is closed. False: there is no translation.
    template <class Walk, class NoteWrite, class Use>
    bool access(const std::string& device, std::uint64_t iova, mm::Access access, Walk&& walk,
                NoteWrite&& note_write, Use&& use) EXCLUDES(mutex_) {
        const Lock lock(mutex_);
        Entry* entry = find(iova);
        if (entry == nullptr) {
            const std::optional<Translation> walked = walk();
            if (!walked) {
                return false;
            }
            entry = &insert(iova, *walked);
        }
        if (access == mm::Access::write && !entry->written && permits(*entry, access)) {
            note_write();
            entry->written = true;
        }
        const bool stale = entry->unmap != 0;
        if (stale && permits(*entry, access)) {
            record(device, iova, access, *entry);
        }
        use(Found{{entry->frame + (iova & kOffset), entry->protection}, stale});
        return true;
    }

    /// What was unmapped is invalidated, or waits for it.
    void unmapped(Range range) EXCLUDES(mutex_);
    /// It was unmapped, and its invalidation is somebody else's matter.
    void mark_unmapped(Range range) EXCLUDES(mutex_);
    void invalidate(Range range) EXCLUDES(mutex_);
    void invalidate_all() EXCLUDES(mutex_);
    IotlbFigures figures() const EXCLUDES(mutex_);

  private:
    friend class IotlbControl;
    static constexpr std::uint64_t kOffset = 0xfff;

    struct Entry {
        PhysAddr frame;
        std::uint32_t protection;
        bool written = false;     // the table knows that the page was written to
        std::uint64_t unmap = 0;  // which one took it, when it is there no more
        Range unmapped{};
    };

    static bool permits(const Entry& entry, mm::Access access) {
        return (entry.protection & (access == mm::Access::write ? kWrite : kRead)) != 0;
    }
    Entry* find(std::uint64_t iova) REQUIRES(mutex_);
    Entry& insert(std::uint64_t iova, const Translation& found) REQUIRES(mutex_);
    void record(const std::string& device, std::uint64_t iova, mm::Access access,
                const Entry& entry) REQUIRES(mutex_);
    void mark(Range range) REQUIRES(mutex_);
    void drop(Range range) REQUIRES(mutex_);

    IotlbControl& control_;
    mutable Mutex mutex_{lock_order::kIotlb};
    std::map<std::uint64_t, Entry> entries_ GUARDED_BY(mutex_);  // by page
    std::deque<std::uint64_t> order_ GUARDED_BY(mutex_);         // the oldest first; may be gone
    std::size_t queued_ GUARDED_BY(mutex_) = 0;
    IotlbFigures figures_ GUARDED_BY(mutex_);
};

}  // namespace kvmiommu::iommu
