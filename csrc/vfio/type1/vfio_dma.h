// SPDX-License-Identifier: MIT
//
// One mapping of a type1 container and the tree of them (drivers/vfio/vfio_iommu_type1.c:
// vfio_dma, vfio_pfn, vfio_find_dma). Its states: type1.h.

#pragma once

#include <cstdint>
#include <iterator>
#include <map>
#include <utility>
#include <vector>

#include "iommu/iommu.h"
#include "mm/mm.h"
#include "vfio/type1/dma_bitmap.h"

namespace kvmiommu::vfio {

/// A page that drivers of emulated devices have pinned (vfio_pfn).
struct VfioPfn {
    mm::Pin pin;
    std::uint32_t ref_count;  // pin_pages() calls for it
};

/// One mapping (vfio_dma).
struct VfioDma {
    std::uint64_t size = 0;           // bytes mapped so far
    std::uint64_t vaddr = 0;          // the user's address of its start
    std::uint32_t prot = 0;           // iommu::kRead | iommu::kWrite
    bool iommu_mapped = false;        // pinned and in every domain
    bool lock_cap = false;            // CAP_IPC_LOCK of its task: no limit
    bool vaddr_invalid = false;       // VFIO_DMA_UNMAP_FLAG_VADDR
    std::uint64_t memlock_pages = 0;  // RLIMIT_MEMLOCK of its task, for pins that come later
    // Its task's. Put after the container's lock is dropped and the charges are uncharged.
    Ref<mm::AddressSpace> mm{"vfio_dma.mm"};
    mm::Pins pins;                              // for the IOMMU, by offset
    std::map<std::uint64_t, VfioPfn> pfn_list;  // by iova
    mm::Charge pfn_charge;                      // pages of pfn_list that `pins` does not charge
    DmaBitmap bitmap;                           // while dirty pages are tracked
    std::uint64_t bitmap_version = 0;           // changes whenever a bit may have changed

    /// Pages charged to mm->locked_vm for it (dma->locked_vm).
    std::uint64_t locked_vm() const { return pins.charge().pages() + pfn_charge.pages(); }
    mm::Access access() const {
        return (prot & iommu::kWrite) != 0 ? mm::Access::write : mm::Access::read;
    }
};

/// Mappings by iova; they do not overlap (vfio_iommu: dma_list).
class DmaList {
  public:
    using Map = std::map<std::uint64_t, VfioDma>;
    using iterator = Map::iterator;
    /// Mappings that were removed. Declared before the lock, so that they are destroyed after it.
    class Removed {
      public:
        void add(Map::node_type dma) {
            if (first_.empty()) {
                first_ = std::move(dma);
            } else {
                rest_.push_back(std::move(dma));
            }
        }

      private:
        Map::node_type first_;  // usually the only one: no allocation
        std::vector<Map::node_type> rest_;
    };

    iterator begin() { return by_iova_.begin(); }
    iterator end() { return by_iova_.end(); }
    bool empty() const { return by_iova_.empty(); }
    /// `next`: the first mapping that ends behind `iova`.
    iterator insert(std::uint64_t iova, iterator next) { return by_iova_.try_emplace(next, iova); }
    iterator remove(iterator dma, Removed& gone) {
        const auto next = std::next(dma);
        gone.add(by_iova_.extract(dma));
        return next;
    }

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
