// SPDX-License-Identifier: MIT
//
// Translations that the IOMMU keeps until they are invalidated. An access between an unmap and its
// invalidation gets through, as on hardware, and is reported.
//
// When invalidations happen is the kernel's choice
// (Documentation/admin-guide/kernel-parameters.txt: iommu.strict): with every unmap, or some time
// later for many of them at once, from a flush queue (drivers/iommu/dma-iommu.c: fq_flush_iotlb).
// Nothing here reads a clock: a queue is flushed when it is full, or by IotlbControl::flush().

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
    std::uint64_t unmap;  // the number of the unmap, from 1
    Range unmapped;       // what it unmapped
};

struct IotlbFigures {
    std::uint64_t hits = 0;
    std::uint64_t misses = 0;
    std::uint64_t stale_uses = 0;
    std::uint64_t invalidations = 0;  // of ranges, and of all entries of a domain
    std::uint64_t queued = 0;         // unmaps that wait for one now
};

/// What the IOTLBs of a machine share: the mode, figures, records.
class IotlbControl {
  public:
    static constexpr std::size_t kMostKept = 1024;

    /// Strict: an unmap returns when it is invalidated. Else it waits in a queue.
    explicit IotlbControl(bool strict) : strict_(strict) {}
    IotlbControl(const IotlbControl&) = delete;
    IotlbControl& operator=(const IotlbControl&) = delete;

    bool strict() const { return strict_; }
    /// Flushes all queues, as the kernel's timer does.
    void flush() EXCLUDES(all_mutex_);
    IotlbFigures figures() const EXCLUDES(all_mutex_);
    /// The last kMostKept, the oldest first.
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

/// The entries of one domain. An entry is the part of a leaf that lies in one block of 4 KiB: large
/// leaves are kept piece by piece, as devices use them, and invalidated whole.
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
    /// Uses the translation of an iova: an entry, or what `walk` finds in the table. `note_write`
    /// makes its leaf dirty, `use` moves the data. All three are called with this object's mutex
    /// held, so that an unmap that comes meanwhile is invalidated, and returns, after the access.
    /// False: there is no translation.
    template <class Walk, class NoteWrite, class Use>
    bool access(const std::string& device, std::uint64_t iova, mm::Access access, Walk&& walk,
                NoteWrite&& note_write, Use&& use) EXCLUDES(mutex_) {
        const Lock lock(mutex_);
        auto found = find(iova);
        if (found == entries_.end()) {
            const std::optional<Translation> walked = walk();
            if (!walked) {
                return false;
            }
            found = insert(iova, *walked);
        }
        auto& [start, entry] = *found;
        if (access == mm::Access::write && !entry.written && permits(entry, access)) {
            note_write();
            entry.written = true;
        }
        const bool stale = entry.unmap != 0;
        if (stale && permits(entry, access)) {
            record(device, iova, access, entry);
        }
        use(Found{{entry.address + (iova - start), entry.protection, Range{start, entry.last}},
                  stale});
        return true;
    }

    /// A range was unmapped: invalidates it, or queues it.
    void unmapped(Range range) EXCLUDES(mutex_);
    /// A range was unmapped, and the caller invalidates it later.
    void mark_unmapped(Range range) EXCLUDES(mutex_);
    /// Drops the entries of all leaves that meet a range.
    void invalidate(Range range) EXCLUDES(mutex_);
    void invalidate_all() EXCLUDES(mutex_);
    IotlbFigures figures() const EXCLUDES(mutex_);

  private:
    friend class IotlbControl;
    static constexpr std::uint64_t kOffset = 0xfff;

    struct Entry {
        std::uint64_t last;  // of its iovas
        PhysAddr address;    // of the first one
        std::uint32_t protection;
        Range leaf;
        bool written = false;     // the leaf is dirty already
        std::uint64_t unmap = 0;  // the number of the unmap that makes it stale; 0: none
        Range unmapped{};
    };
    using Entries = std::map<std::uint64_t, Entry>;  // by the first iova; they do not overlap

    static bool permits(const Entry& entry, mm::Access access) {
        return (entry.protection & (access == mm::Access::write ? kWrite : kRead)) != 0;
    }
    Entries::iterator find(std::uint64_t iova) REQUIRES(mutex_);
    Entries::iterator insert(std::uint64_t iova, const Translation& found) REQUIRES(mutex_);
    void record(const std::string& device, std::uint64_t iova, mm::Access access,
                const Entry& entry) REQUIRES(mutex_);
    void mark(Range range) REQUIRES(mutex_);
    void drop(Range range) REQUIRES(mutex_);

    IotlbControl& control_;
    mutable Mutex mutex_{lock_order::kIotlb};
    Entries entries_ GUARDED_BY(mutex_);
    std::deque<std::uint64_t> order_ GUARDED_BY(mutex_);  // the oldest first; some are gone
    std::size_t queued_ GUARDED_BY(mutex_) = 0;
    IotlbFigures figures_ GUARDED_BY(mutex_);
};

}  // namespace kvmiommu::iommu
