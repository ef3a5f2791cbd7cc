// SPDX-License-Identifier: MIT

#include "iommu/domain.h"

#include <utility>

#include "iommu/user_data.h"

namespace kvmiommu::iommu {

namespace {
constexpr Source kSetDirty{"drivers/iommu/iommufd/io_pagetable.c: iopt_set_dirty_tracking"};
constexpr Source kReadDirty{"drivers/iommu/intel/iommu.c: intel_iommu_read_and_clear_dirty"};
constexpr Source kInvalidate{"drivers/iommu/iommufd/hw_pagetable.c: iommufd_hwpt_invalidate"};
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

// Called of domains that take ranges, which override both.
Result<> Domain::map_range(std::uint64_t, PhysAddr, std::uint64_t, std::uint32_t, FaultPoints&) {
    std::unreachable();
}
Unmapped Domain::unmap_range(std::uint64_t, std::uint64_t, FaultPoints&) {
    std::unreachable();
}

std::optional<Translation> Domain::translate(std::uint64_t iova) const {
    const PhysAddr address = iova_to_phys(iova);
    if (address == 0) {
        return std::nullopt;
    }
    // Without page sizes all of it is one leaf.
    const std::uint64_t offset = lowest_bit(pgsize_bitmap()) - 1;
    return Translation{address, kRead | kWrite, {iova & ~offset, iova | offset}};
}

Result<> Domain::cache_invalidate_user(UserDataArray& array) {
    array.entry_num = 0;
    return refuse(EOPNOTSUPP, "the domain's table is not one that user space wrote", kInvalidate);
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
        return refuse(EOPNOTSUPP, "the domain does not mark what is written to", kSetDirty);
    }
    dirty_tracking_.store(on, std::memory_order_relaxed);
    // A kept translation by which a device wrote before would not make its leaf dirty again.
    if (Iotlb* const kept = iotlb(); kept != nullptr && on) {
        kept->invalidate_all();
    }
    return {};
}

Result<> Domain::read_dirty(Range range, bool make_clean, DirtyBitmap* bitmap) {
    if (!can_track_dirty_) {
        return refuse(EOPNOTSUPP, "the domain does not mark what is written to", kReadDirty);
    }
    if (bitmap != nullptr && !dirty_tracking()) {
        return refuse(EINVAL, "nothing is tracked, so there is nothing to record", kReadDirty);
    }
    each_dirty(range, make_clean, bitmap);
    // As above.
    if (Iotlb* const kept = iotlb(); kept != nullptr && make_clean) {
        kept->invalidate(range);
    }
    return {};
}

}  // namespace kvmiommu::iommu
