// SPDX-License-Identifier: MIT
//
// An I/O address space (include/linux/iommu.h: iommu_domain, iommu_domain_ops).

#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "base/base.h"
#include "iommu/dirty_bitmap.h"
#include "iommu/iotlb.h"
#include "iommu/lock_order.h"
#include "iommu/translation.h"
#include "iommu/walk.h"
#include "mm/physical_memory.h"

namespace kvmiommu::iommu {

class Device;
class Ops;
struct UserDataArray;

/// `platform`: the windows that the platform's own code keeps (IOMMU_DOMAIN_PLATFORM).
enum class DomainType : std::uint8_t { blocked, identity, unmanaged, platform };

/// What map_pages() did: `bytes` are mapped; a refusal says why not all of them.
struct Mapped {
    std::uint64_t bytes = 0;
    std::optional<Refusal> refusal;
};

/// What unmap_range() did: the bytes that unmap() returns, and the iovas that are unmapped now.
struct Unmapped {
    std::uint64_t bytes = 0;
    std::vector<Range> ranges;
};

class Domain {
  public:
    virtual ~Domain();
    Domain(const Domain&) = delete;
    Domain& operator=(const Domain&) = delete;

    DomainType type() const { return type_; }
    bool paging() const { return type_ == DomainType::unmanaged; }
    /// The driver that allocated it (iommu_domain.owner). Only devices of that driver can be
    /// attached, unless the domain spans drivers.
    const Ops& ops() const { return ops_; }
    /// Page sizes that can be mapped, a bit each; 0 for a domain without a page table.
    std::uint64_t pgsize_bitmap() const { return pgsize_bitmap_.load(std::memory_order_relaxed); }
    /// The iovas that can be translated (iommu_domain_geometry).
    Range aperture() const {
        return {aperture_start_, aperture_last_.load(std::memory_order_relaxed)};
    }

    /// Moves one device into this domain, from whichever it is in; refused, the device stays there.
    /// The group tells the domain that it leaves by detach_device(). (attach_dev)
    /// EINVAL this domain cannot serve this device, another one may
    /// any other: no domain could
    virtual Result<> attach_device(Device& device, FaultPoints& faults) = 0;
    /// A device that was attached is in another domain now.
    virtual void detach_device(Device&) {}
    /// Can devices of other drivers be attached?
    virtual bool spans_drivers() const { return false; }

    /// Maps one page if one store does it. False: nothing was done; call map_pages().
    virtual bool map_page(std::uint64_t iova, PhysAddr address, std::uint64_t page_size,
                          std::uint32_t protection);
    /// Unmaps one page if one store does it. False: nothing was done; call unmap_pages().
    virtual bool unmap_page(std::uint64_t iova, std::uint64_t page_size);
    /// Maps `count` pages if all their entries stand in one table and are empty. False: nothing was
    /// done; call map_pages().
    virtual bool map_row(std::uint64_t iova, PhysAddr address, std::uint64_t page_size,
                         std::uint64_t count, std::uint32_t protection);
    /// Maps `count` pages of `page_size` bytes, a size of the bitmap, from `iova` to `address`,
    /// both aligned to it. The pages that the result counts stay mapped, also when it is a refusal.
    /// `faults` says which allocations fail. (map_pages)
    virtual Mapped map_pages(std::uint64_t iova, PhysAddr address, std::uint64_t page_size,
                             std::uint64_t count, std::uint32_t protection,
                             FaultPoints& faults) = 0;
    /// Unmaps up to `count` pages of `page_size` bytes. Returns the bytes that are unmapped now:
    /// fewer than asked for up to a hole, or up to a leaf whose split had no memory; more where a
    /// larger leaf went whole. (unmap_pages)
    virtual std::uint64_t unmap_pages(std::uint64_t iova, std::uint64_t page_size,
                                      std::uint64_t count, FaultPoints& faults) = 0;
    /// Does unmap_pages() return all that it unmapped, which is one range then? Otherwise it may
    /// return 0 though something is unmapped, and leaves are the mappings that it was given.
    virtual bool counts_unmapped() const { return true; }

    /// Does the domain divide ranges into pages itself? Then map() and unmap() call the two below.
    bool takes_ranges() const { return takes_ranges_; }
    /// As map() and unmap(), but nothing is invalidated.
    virtual Result<> map_range(std::uint64_t iova, PhysAddr address, std::uint64_t size,
                               std::uint32_t protection, FaultPoints& faults);
    virtual Unmapped unmap_range(std::uint64_t iova, std::uint64_t size, FaultPoints& faults);
    /// The physical address behind an iova; 0: none.
    virtual PhysAddr iova_to_phys(std::uint64_t iova) const = 0;
    /// The translation that the hardware finds for a device; none: a fault. A domain that does not
    /// override it grants both rights, and has leaves of its smallest page.
    virtual std::optional<Translation> translate(std::uint64_t iova) const;

    /// The entries that the hardware reads on its way to an iova, from the root on; none where
    /// there is no table.
    virtual std::vector<WalkStep> walk(std::uint64_t) const { return {}; }

    /// Was it allocated to track the pages that devices write to (iommu_domain.dirty_ops)?
    bool can_track_dirty() const { return can_track_dirty_; }
    bool dirty_tracking() const { return dirty_tracking_.load(std::memory_order_relaxed); }
    /// Starts or stops tracking. (set_dirty_tracking)
    /// EOPNOTSUPP the domain was not allocated for it
    Result<> set_dirty_tracking(bool on);
    /// Records the dirty leaves of a range and, if asked to, makes them clean. Without a bitmap it
    /// only makes them clean, also while nothing is tracked. (read_and_clear_dirty)
    /// EOPNOTSUPP the domain was not allocated for it
    /// EINVAL a bitmap, while nothing is tracked
    Result<> read_dirty(Range range, bool make_clean, DirtyBitmap* bitmap);
    /// A device wrote: makes the leaf of `iova` dirty, if leaves are tracked.
    void note_write(std::uint64_t iova) {
        if (dirty_tracking()) [[unlikely]] {
            mark_dirty(iova);
        }
    }

    /// The translations that IOMMUs keep of this domain; null before the first device is attached.
    Iotlb* iotlb() const { return iotlb_in_use_.load(std::memory_order_acquire); }
    /// Before the first device is attached, and while nobody unmaps: from now on translations are
    /// kept.
    void keep_translations(IotlbControl& control) EXCLUDES(iotlb_mutex_);

    /// Bytes of page-table memory in use.
    virtual std::uint64_t table_bytes() const { return 0; }

    /// Makes every DMA through this domain snoop the processor's caches, whatever the device
    /// asks for. False: not every IOMMU behind the domain can.
    virtual bool enforce_cache_coherency() { return false; }

    /// Invalidates what the IOMMU keeps of a table that user space wrote, entry by entry;
    /// `array.entry_num` is the number of entries done, also when it is refused.
    /// (cache_invalidate_user)
    /// EOPNOTSUPP the domain has no such table
    virtual Result<> cache_invalidate_user(UserDataArray& array);

  protected:
    Domain(const Ops& ops, DomainType type, std::uint64_t pgsize_bitmap, Range aperture)
        : ops_(ops),
          type_(type),
          pgsize_bitmap_(pgsize_bitmap),
          aperture_start_(aperture.start),
          aperture_last_(aperture.last) {}

    void set_pgsize_bitmap(std::uint64_t sizes) {
        pgsize_bitmap_.store(sizes, std::memory_order_relaxed);
    }
    void set_aperture_last(std::uint64_t last) {
        aperture_last_.store(last, std::memory_order_relaxed);
    }
    /// Of a domain that overrides map_range() and unmap_range().
    void take_ranges() { takes_ranges_ = true; }
    /// Of a driver that overrides the two below, for a domain allocated to track.
    void allow_dirty_tracking() { can_track_dirty_ = true; }
    virtual void mark_dirty(std::uint64_t) {}
    virtual void each_dirty(Range, bool, DirtyBitmap*) {}

  private:
    const Ops& ops_;
    const DomainType type_;
    bool takes_ranges_ = false;
    bool can_track_dirty_ = false;
    std::atomic<std::uint64_t> pgsize_bitmap_;
    const std::uint64_t aperture_start_;
    std::atomic<std::uint64_t> aperture_last_;
    std::atomic<bool> dirty_tracking_{false};
    Mutex iotlb_mutex_{lock_order::kDomain};
    std::unique_ptr<Iotlb> iotlb_ GUARDED_BY(iotlb_mutex_);
    std::atomic<Iotlb*> iotlb_in_use_{nullptr};
};

}  // namespace kvmiommu::iommu
