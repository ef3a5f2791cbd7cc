// SPDX-License-Identifier: MIT
//
// One mapping of a type1 container and the tree of them (drivers/vfio/vfio_iommu_type1.c:
// vfio_dma, vfio_find_dma).

#pragma once

#include <cstdint>
#include <iterator>
#include <map>
#include <vector>

#include "mm/mm.h"

namespace kvmiommu::vfio {

/// A page that a driver without an IOMMU has pinned (vfio_pfn).
struct PinnedPage {
    mm::PhysAddr address;
    std::uint32_t count;
};

/// What one VFIO_IOMMU_MAP_DMA made.
struct Mapping {
    std::uint64_t size = 0;           // bytes mapped so far; all once the call has returned
    std::uint64_t vaddr = 0;          // the user's address of its start
    std::uint32_t protection = 0;     // iommu::kRead | iommu::kWrite
    bool iommu_mapped = false;        // pinned and in every domain
    bool lock_cap = false;            // CAP_IPC_LOCK when it was made: no limit
    std::uint64_t memlock_pages = 0;  // RLIMIT_MEMLOCK then, for pins that come later
    bool vaddr_invalid = false;       // VFIO_DMA_UNMAP_FLAG_VADDR
    // Charged to mm->locked_vm: every page while an IOMMU maps them, else those pinned by drivers.
    std::uint64_t locked_pages = 0;
    Ref<mm::AddressSpace> mm{"vfio_dma.mm"};
    std::vector<mm::PhysicalRun> pins;  // for the IOMMU, in the order of the iovas
    std::map<std::uint64_t, PinnedPage> pinned_by_drivers;  // by iova
    std::vector<std::uint64_t> dirty;  // a bit a page and a word to spare, while tracked
};

/// Mappings by iova; they do not overlap.
class MappingTree {
  public:
    using Map = std::map<std::uint64_t, Mapping>;
    using iterator = Map::iterator;

    iterator begin() { return by_iova_.begin(); }
    iterator end() { return by_iova_.end(); }
    bool empty() const { return by_iova_.empty(); }
    iterator insert(std::uint64_t iova) { return by_iova_.try_emplace(iova).first; }
    iterator erase(iterator mapping) { return by_iova_.erase(mapping); }

    /// The first mapping that ends behind `iova`.
    iterator first_behind(std::uint64_t iova) {
        auto next = by_iova_.upper_bound(iova);
        if (next != by_iova_.begin()) {
            const auto before = std::prev(next);
            if (iova - before->first < before->second.size) {
                return before;
            }
        }
        return next;
    }
    /// A mapping that shares an iova with `range`, or end().
    iterator overlapping(Range range) {
        const auto first = first_behind(range.start);
        return first != end() && first->first <= range.last ? first : end();
    }

  private:
    Map by_iova_;
};

}  // namespace kvmiommu::vfio
