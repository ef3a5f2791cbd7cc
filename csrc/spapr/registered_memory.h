// SPDX-License-Identifier: MIT
//
// Memory of a process that is pinned beforehand, region by region, so that mapping it pins nothing
// (arch/powerpc/mm/book3s64/iommu_api.c).

#pragma once

#include <algorithm>
#include <atomic>
#include <cassert>
#include <cstdint>
#include <optional>
#include <vector>

#include "base/base.h"
#include "fs/task.h"
#include "mm/mm.h"
#include "spapr/lock_order.h"

namespace kvmiommu::spapr {

class RegisteredMemory;

/// One region (mm_iommu_table_group_mem_t): pinned while it is registered, which it is at least
/// while something is mapped from it.
class MemoryRegion final : public RefCounted {
  public:
    /// `pins`: its memory by user address, and what is charged for it.
    MemoryRegion(Census& census, std::uint64_t page_size, Range range, mm::Pins pins);

    /// User addresses.
    Range range() const { return range_; }
    /// Are all `bytes` bytes from a user address on in it?
    bool holds(std::uint64_t address, std::uint64_t bytes) const {
        return range_.start <= address && address + (bytes - 1) <= range_.last &&
               bytes - 1 <= range_.last - range_.start;
    }
    /// The physical address behind a user address, for pages of 2^`page_shift` bytes.
    /// (mm_iommu_ua_to_hpa)
    /// EFAULT the address is not in the region, or its memory is in smaller pages
    Result<mm::PhysAddr> translate(std::uint64_t address, unsigned page_shift) const;
    /// The same; none: EFAULT.
    std::optional<mm::PhysAddr> physical(std::uint64_t address, unsigned page_shift) const {
        if (page_shift > page_shift_) {
            return std::nullopt;
        }
        return pins_.find(address);
    }

    /// Counts one more entry that maps it. False: it is being unregistered. (mm_iommu_mapped_inc)
    bool map() {
        std::uint64_t seen = mapped_.load(std::memory_order_relaxed);
        while (seen != 0) {
            if (mapped_.compare_exchange_weak(seen, seen + 1, std::memory_order_acq_rel)) {
                return true;
            }
        }
        return false;
    }
    /// Counts one less, but never below the count of its registration. (mm_iommu_mapped_dec)
    void unmap() {
        std::uint64_t seen = mapped_.load(std::memory_order_relaxed);
        while (seen > 1 &&
               !mapped_.compare_exchange_weak(seen, seen - 1, std::memory_order_acq_rel)) {
        }
    }
    std::uint64_t mapped() const { return mapped_.load(std::memory_order_relaxed); }

  private:
    friend class RegisteredMemory;

    const Range range_;
    const unsigned page_shift_;  // the largest page of a table that it can be mapped with
    // Pinned as long as the region lives, charged as long as it is registered.
    mm::Pins pins_;
    std::atomic<std::uint64_t> mapped_{1};
    std::uint64_t used_ = 1;  // guarded by RegisteredMemory's lock
};

/// The regions of one address space.
class RegisteredMemory final : public mm::MmContext {
  public:
    explicit RegisteredMemory(mm::PhysicalMemory&) {}
    /// That of an address space of a POWER machine, whose contexts are all of this kind.
    static RegisteredMemory& of(mm::AddressSpace& mm) {
        RegisteredMemory* const memory = mm.context<RegisteredMemory>();
        assert(memory != nullptr);
        return *memory;
    }

    /// The region that is exactly this, with one more user; or null. (mm_iommu_get)
    Ref<MemoryRegion> get(std::uint64_t address, std::uint64_t bytes) EXCLUDES(mutex_);
    /// Pins and charges a new region. (mm_iommu_new)
    /// ENOMEM past the limit of the task
    /// ENOMEM no bytes
    /// EFAULT a page cannot be pinned for writing
    /// EINVAL it meets another region
    Result<Ref<MemoryRegion>> create(fs::Task& task, std::uint64_t address, std::uint64_t bytes)
        EXCLUDES(mutex_);
    /// Removes one user. With the last one the region is unregistered and uncharged. (mm_iommu_put)
    /// ENOENT it has no users
    /// EBUSY entries map it; it keeps its last user
    Result<> put(mm::AddressSpace& mm, const Ref<MemoryRegion>& region) EXCLUDES(mutex_);
    /// The region that all of it is in, or null. (mm_iommu_lookup)
    Ref<MemoryRegion> find(std::uint64_t address, std::uint64_t bytes) EXCLUDES(mutex_);

    /// Looks regions up during a hypercall; no region is unregistered meanwhile.
    class Reader {
      public:
        explicit Reader(RegisteredMemory& memory) KVMIOMMU_ANALYSIS(no_thread_safety_analysis)
            : memory_(memory) {
            memory_.mutex_.lock();
        }
        ~Reader() KVMIOMMU_ANALYSIS(no_thread_safety_analysis) { memory_.mutex_.unlock(); }
        Reader(const Reader&) = delete;
        Reader& operator=(const Reader&) = delete;

        /// As RegisteredMemory::find().
        MemoryRegion* find(std::uint64_t address, std::uint64_t bytes) const {
            memory_.mutex_.assert_held();
            return memory_.look_up(address, bytes);
        }

      private:
        RegisteredMemory& memory_;
    };

  private:
    MemoryRegion* look_up(std::uint64_t address, std::uint64_t bytes) const REQUIRES(mutex_) {
        for (const Ref<MemoryRegion>& region : regions_) {
            if (region->holds(address, bytes)) {
                return region.get();
            }
        }
        return nullptr;
    }

    Mutex mutex_{lock_order::kRegisteredMemory};
    std::vector<Ref<MemoryRegion>> regions_ GUARDED_BY(mutex_);
};

}  // namespace kvmiommu::spapr
