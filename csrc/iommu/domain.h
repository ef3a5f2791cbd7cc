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

/// `platform`: the windows that the platform's own code keeps (IOMMU_DOMAIN_PLATFORM).
enum class DomainType : std::uint8_t { blocked, identity, unmanaged, platform };

/// How far map_pages() came, and why no further.
struct Mapped {
    std::uint64_t bytes = 0;
    std::optional<Refusal> refusal;
};

class Domain {
  public:
    virtual ~Domain();
    Domain(const Domain&) = delete;
    Domain& operator=(const Domain&) = delete;

    DomainType type() const { return type_; }
    bool paging() const { return type_ == DomainType::unmanaged; }
    /// The driver that made it; only devices of that driver can be attached.
    const Ops& ops() const { return ops_; }
    /// Page sizes that can be mapped, a bit each; 0 for a domain without a table.
    std::uint64_t pgsize_bitmap() const { return pgsize_bitmap_.load(std::memory_order_relaxed); }
    /// iovas that can be translated.
    Range aperture() const { return aperture_; }

    /// Puts one device into this domain. EINVAL: this domain cannot serve this device, another
    /// one may.
    virtual Result<> attach_device(Device& device) = 0;
    /// A device that was attached has left.
    virtual void detach_device(Device&) {}
    /// Can devices of other drivers be attached?
    virtual bool spans_drivers() const { return false; }

    /// One page, as most calls map it: true when it was a matter of one store. False: it was not,
    /// and nothing was done; map_pages() does it or says what is wrong.
    virtual bool map_page(std::uint64_t iova, PhysAddr address, std::uint64_t page_size,
                          std::uint32_t protection);
    /// As map_page().
    virtual bool unmap_page(std::uint64_t iova, std::uint64_t page_size);
    /// As map_page(), for several pages whose entries stand in a row.
    virtual bool map_row(std::uint64_t iova, PhysAddr address, std::uint64_t page_size,
                         std::uint64_t count, std::uint32_t protection);
    /// Maps `count` pages of `page_size` bytes, a size of the bitmap, from `iova` to `address`,
    /// both aligned to it. What is answered as mapped stays mapped. `faults` are the allocations
    /// that may be told to fail.
    virtual Mapped map_pages(std::uint64_t iova, PhysAddr address, std::uint64_t page_size,
                             std::uint64_t count, std::uint32_t protection,
                             FaultPoints& faults) = 0;
    /// Unmaps up to `count` pages of `page_size` bytes. Answers the bytes that went: fewer where
    /// it met a hole, more where a larger leaf had to go whole.
    virtual std::uint64_t unmap_pages(std::uint64_t iova, std::uint64_t page_size,
                                      std::uint64_t count) = 0;
    /// Where an iova leads; 0: nowhere.
    virtual PhysAddr iova_to_phys(std::uint64_t iova) const = 0;
    /// How the hardware answers a device; nothing: a fault. Good up to the next multiple of 4 KiB.
    /// Domains whose entries keep rights say them; any other grants both.
    virtual std::optional<Translation> translate(std::uint64_t iova) const {
        const PhysAddr address = iova_to_phys(iova);
        if (address == 0) {
            return std::nullopt;
        }
        return Translation{address, kRead | kWrite};
    }

    /// The entries that the hardware meets on its way to an iova, from the root on; none where
    /// there is no table.
    virtual std::vector<WalkStep> walk(std::uint64_t) const { return {}; }

    /// Can the IOMMU mark pages that devices write to?
    bool can_track_dirty() const { return can_track_dirty_; }
    bool dirty_tracking() const { return dirty_tracking_.load(std::memory_order_relaxed); }
    /// Makes the IOMMU mark them, or no longer. EOPNOTSUPP: it cannot.
    Result<> set_dirty_tracking(bool on);
    /// Records the pages of a range that were written to and, if asked to, marks them clean.
    /// Without a bitmap it only marks them clean, also while nothing is tracked. EOPNOTSUPP as
    /// above; EINVAL with a bitmap while nothing is tracked.
    Result<> read_dirty(Range range, bool make_clean, DirtyBitmap* bitmap);
    /// A device wrote: marks the page, if pages are tracked.
    void note_write(std::uint64_t iova) {
        if (dirty_tracking()) [[unlikely]] {
            mark_dirty(iova);
        }
    }

    /// What the IOMMU keeps of this domain; null as long as no device was ever in it.
    Iotlb* iotlb() const { return iotlb_in_use_.load(std::memory_order_acquire); }
    /// A device comes in: from now on translations are kept.
    void keep_translations(IotlbControl& control) EXCLUDES(iotlb_mutex_);

    /// Bytes of page-table memory in use.
    virtual std::uint64_t table_bytes() const { return 0; }

    /// Makes every DMA through this domain snoop the processor's caches, whatever the device
    /// asks for. False: not every IOMMU behind the domain can.
    virtual bool enforce_cache_coherency() { return false; }

  protected:
    Domain(const Ops& ops, DomainType type, std::uint64_t pgsize_bitmap, Range aperture)
        : ops_(ops), type_(type), pgsize_bitmap_(pgsize_bitmap), aperture_(aperture) {}

    void set_pgsize_bitmap(std::uint64_t sizes) {
        pgsize_bitmap_.store(sizes, std::memory_order_relaxed);
    }
    /// Of a driver that overrides the two below, when its hardware can.
    void allow_dirty_tracking() { can_track_dirty_ = true; }
    virtual void mark_dirty(std::uint64_t) {}
    virtual void each_dirty(Range, bool, DirtyBitmap*) {}

  private:
    const Ops& ops_;
    const DomainType type_;
    std::atomic<std::uint64_t> pgsize_bitmap_;
    const Range aperture_;
    bool can_track_dirty_ = false;
    std::atomic<bool> dirty_tracking_{false};
    Mutex iotlb_mutex_{lock_order::kDomain};
    std::unique_ptr<Iotlb> iotlb_ GUARDED_BY(iotlb_mutex_);
    std::atomic<Iotlb*> iotlb_in_use_{nullptr};
};

}  // namespace kvmiommu::iommu
