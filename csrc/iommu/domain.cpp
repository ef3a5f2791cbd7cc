// SPDX-License-Identifier: MIT

#include "iommu/domain.h"

namespace kvmiommu::iommu {

namespace {
constexpr Source kSetDirty{"drivers/iommu/iommufd/io_pagetable.c: iopt_set_dirty_tracking"};
constexpr Source kReadDirty{"drivers/iommu/intel/iommu.c: intel_iommu_read_and_clear_dirty"};
}  // namespace

Domain::~Domain() = default;

// Not inline: compilers would ask at each call whether it is these.
bool Domain::map_page(std::uint64_t, PhysAddr, std::uint64_t, std::uint32_t) {
    return false;
}
bool Domain::unmap_page(std::uint64_t, std::uint64_t) {
    return false;
}
bool Domain::map_row(std::uint64_t, PhysAddr, std::uint64_t, std::uint64_t, std::uint32_t) {
    return false;
}

void Domain::keep_translations(IotlbControl& control) {
    const Lock lock(iotlb_mutex_);
    if (!iotlb_) {
        iotlb_ = std::make_unique<Iotlb>(control);
        iotlb_in_use_.store(iotlb_.get(), std::memory_order_release);
    }
}

Result<> Domain::set_dirty_tracking(bool on) {
    if (!can_track_dirty_) {
        return refuse(EOPNOTSUPP, "the domain's IOMMU does not mark what is written to", kSetDirty);
    }
    dirty_tracking_.store(on, std::memory_order_relaxed);
    return {};
}

Result<> Domain::read_dirty(Range range, bool make_clean, DirtyBitmap* bitmap) {
    if (!can_track_dirty_) {
        return refuse(EOPNOTSUPP, "the domain's IOMMU does not mark what is written to",
                      kReadDirty);
    }
    if (bitmap != nullptr && !dirty_tracking()) {
        return refuse(EINVAL, "nothing is tracked, so there is nothing to record", kReadDirty);
    }
    each_dirty(range, make_clean, bitmap);
    // An entry that knows of a write would not mark the page again.
    if (Iotlb* const kept = iotlb(); kept != nullptr && make_clean) {
        kept->invalidate(range);
    }
    return {};
}

}  // namespace kvmiommu::iommu
