// SPDX-License-Identifier: MIT
//
// VFIO_IOMMU_SPAPR_REGISTER_MEMORY and UNREGISTER_MEMORY of a container of version 2.

#include <algorithm>

#include "vfio/spapr/tce_container.h"
#include "vfio/spapr/tce_request.h"

namespace kvmiommu::vfio {

namespace {

constexpr Source kIoctl{"drivers/vfio/vfio_iommu_spapr_tce.c: tce_iommu_ioctl"};
constexpr Source kRegister{"drivers/vfio/vfio_iommu_spapr_tce.c: tce_iommu_register_pages"};
constexpr Source kUnregister{"drivers/vfio/vfio_iommu_spapr_tce.c: tce_iommu_unregister_pages"};

using Request = uapi::vfio_iommu_spapr_register_memory;
using spapr::RegisteredMemory;

}  // namespace

Result<std::int64_t> TceContainer::register_memory(fs::Task& task, std::uint64_t argument) {
    const Lock lock(mutex_);
    TRY(work_for(task));
    const auto request = TRY(take_without_flags<Request>(task, argument));
    if (!is_aligned(request.vaddr | request.size, kernel_.page_size()) ||
        request.vaddr + request.size < request.vaddr) {
        return refuse(EINVAL, "[{:x}, + {:x}) is not of whole pages, or wraps", kRegister,
                      request.vaddr, request.size);
    }
    RegisteredMemory& memory = RegisteredMemory::of(*mm_);
    Ref<spapr::MemoryRegion> region = memory.get(request.vaddr, request.size);
    if (!region) {
        region = TRY(memory.create(task, request.vaddr, request.size));
    } else if (std::find(regions_.begin(), regions_.end(), region) != regions_.end()) {
        [[maybe_unused]] const auto put = memory.put(*mm_, region);
        return refuse(EBUSY, "the region at {:x} is registered with this container", kRegister,
                      request.vaddr);
    }
    if (task.faults().fails()) {
        [[maybe_unused]] const auto put = memory.put(*mm_, region);
        return refuse(ENOMEM, "told to fail", kRegister);
    }
    regions_.insert(regions_.begin(), std::move(region));
    enabled_ = true;
    return 0;
}

Result<std::int64_t> TceContainer::unregister_memory(fs::Task& task, std::uint64_t argument) {
    const Lock lock(mutex_);
    if (!mm_) {
        return refuse(EPERM, "the container works for nobody yet", kIoctl);
    }
    const auto request = TRY(take_without_flags<Request>(task, argument));
    if (!is_aligned(request.vaddr | request.size, kernel_.page_size())) {
        return refuse(EINVAL, "[{:x}, + {:x}) is not of whole pages", kUnregister, request.vaddr,
                      request.size);
    }
    RegisteredMemory& memory = RegisteredMemory::of(*mm_);
    const Ref<spapr::MemoryRegion> region = memory.get(request.vaddr, request.size);
    if (!region) {
        return refuse(ENOENT, "no region is [{:x}, + {:x})", kUnregister, request.vaddr,
                      request.size);
    }
    const auto found = std::find(regions_.begin(), regions_.end(), region);
    if (found == regions_.end()) {
        [[maybe_unused]] const auto put = memory.put(*mm_, region);
        return refuse(ENOENT, "the region at {:x} is another container's", kUnregister,
                      request.vaddr);
    }
    if (kernel_.fixed(fs::KernelBug::spapr_unregister_while_mapped)) {
        // The user that get() added is put first, so that put() below sees the entries.
        [[maybe_unused]] const auto own = memory.put(*mm_, region);
        if (region->mapped() > 1) {
            // put() does not see the entries while another container uses the region.
            return refuse(EBUSY, "{} entries lead to the region at {:x}", kUnregister,
                          region->mapped() - 1, request.vaddr);
        }
        TRY(memory.put(*mm_, region));
        regions_.erase(found);
        return 0;
    }
    // The user that get() added, which is not the last. The kernel ignores the error of the last.
    TRY(memory.put(*mm_, region));
    regions_.erase(found);
    [[maybe_unused]] const auto last = memory.put(*mm_, region);
    return 0;
}

void TceContainer::unregister_all() {
    for (const Ref<spapr::MemoryRegion>& region : regions_) {
        [[maybe_unused]] const auto put = RegisteredMemory::of(*mm_).put(*mm_, region);
    }
    regions_.clear();
}

}  // namespace kvmiommu::vfio
