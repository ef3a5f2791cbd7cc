// SPDX-License-Identifier: MIT

#include "spapr/registered_memory.h"

#include <algorithm>
#include <bit>
#include <utility>

namespace kvmiommu::spapr {

namespace {

constexpr Source kNew{"arch/powerpc/mm/book3s64/iommu_api.c: mm_iommu_do_alloc"};
constexpr Source kPut{"arch/powerpc/mm/book3s64/iommu_api.c: mm_iommu_put"};
constexpr Source kTranslate{"arch/powerpc/mm/book3s64/iommu_api.c: mm_iommu_ua_to_hpa"};

std::uint64_t bytes_of(Range range) {
    return range.last - range.start + 1;
}

}  // namespace

MemoryRegion::MemoryRegion(Census& census, std::uint64_t page_size, Range range, mm::Pins pins)
    : RefCounted(census, "mm_iommu_table_group_mem"),
      range_(range),
      // Only pages of hugetlbfs, which is not modelled, are larger than the kernel's.
      page_shift_(static_cast<unsigned>(std::countr_zero(page_size))),
      pins_(std::move(pins)) {}

Result<mm::PhysAddr> MemoryRegion::translate(std::uint64_t address, unsigned page_shift) const {
    if (const auto found = physical(address, page_shift)) {
        return *found;
    }
    return refuse(
        EFAULT,
        "user address {:x} is past the region, or its memory is in pieces of 2^{}, not of "
        "2^{} bytes",
        kTranslate, address, page_shift_, page_shift);
}

Ref<MemoryRegion> RegisteredMemory::get(std::uint64_t address, std::uint64_t bytes) {
    const Lock lock(mutex_);
    for (const Ref<MemoryRegion>& region : regions_) {
        if (region->range_.start == address && bytes_of(region->range_) == bytes) {
            ++region->used_;
            return region;
        }
    }
    return nullptr;
}

Result<Ref<MemoryRegion>> RegisteredMemory::create(fs::Task& task, std::uint64_t address,
                                                   std::uint64_t bytes) {
    mm::AddressSpace& mm = task.mm();
    const std::uint64_t pages = bytes / mm.page_size();
    mm::Pins pins(mm.locked_vm());
    TRY(pins.charge().add(pages, task.limit(fs::Resource::memlock) / mm.page_size(),
                          task.capable(fs::Capability::ipc_lock)));
    if (bytes == 0 || task.faults().fails()) {
        return refuse(ENOMEM, "a region of {:x} bytes needs an array of as many pages", kNew,
                      bytes);
    }
    for (std::uint64_t done = 0; done < bytes;) {
        mm::Pin pin = TRY(mm::Pin::of(mm, address + done, bytes - done, mm::Access::write));
        done += pins.extend(address + done, std::move(pin)).bytes();
    }
    const Range range{address, address + (bytes - 1)};
    const Lock lock(mutex_);
    const auto met =
        std::find_if(regions_.begin(), regions_.end(), [&](const Ref<MemoryRegion>& other) {
            return other->range_.start <= range.last && range.start <= other->range_.last;
        });
    if (met != regions_.end()) {
        return refuse(EINVAL, "[{:x}, {:x}] meets a region that is registered", kNew, range.start,
                      range.last);
    }
    auto region =
        make<MemoryRegion>(task.kernel().census(), mm.page_size(), range, std::move(pins));
    regions_.push_back(region);
    return region;
}

Result<> RegisteredMemory::put(mm::AddressSpace&, const Ref<MemoryRegion>& region) {
    // It may be the last reference, which is put without the lock.
    Ref<MemoryRegion> gone;
    {
        const Lock lock(mutex_);
        if (region->used_ == 0) {
            return refuse(ENOENT, "the region is not registered", kPut);
        }
        if (--region->used_ != 0) {
            return {};
        }
        std::uint64_t unmapped = 1;
        if (!region->mapped_.compare_exchange_strong(unmapped, 0)) {
            ++region->used_;
            return refuse(EBUSY, "{} entries lead to the region", kPut, unmapped - 1);
        }
        const auto found = std::find(regions_.begin(), regions_.end(), region);
        gone = std::move(*found);
        regions_.erase(found);
        // Users that still have a reference keep the pages pinned, but they are not charged.
        region->pins_.charge().clear();
    }
    return {};
}

Ref<MemoryRegion> RegisteredMemory::find(std::uint64_t address, std::uint64_t bytes) {
    const Lock lock(mutex_);
    MemoryRegion* const found = look_up(address, bytes);
    return found != nullptr ? Ref<MemoryRegion>(*found) : nullptr;
}

}  // namespace kvmiommu::spapr
