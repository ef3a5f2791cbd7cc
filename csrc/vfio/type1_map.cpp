// SPDX-License-Identifier: MIT
//
// VFIO_IOMMU_MAP_DMA: pinning, charging and mapping.

#include <iterator>
#include <utility>

#include "vfio/type1.h"

namespace kvmiommu::vfio {

namespace {
constexpr Source kMapDma{"drivers/vfio/vfio_iommu_type1.c: vfio_iommu_type1_map_dma"};
constexpr Source kDoMap{"drivers/vfio/vfio_iommu_type1.c: vfio_dma_do_map"};
constexpr Source kPin{"drivers/vfio/vfio_iommu_type1.c: vfio_pin_pages_remote"};
constexpr Source kChangeOwner{"drivers/vfio/vfio_iommu_type1.c: vfio_change_dma_owner"};

constexpr std::uint32_t kMapFlags =
    uapi::VFIO_DMA_MAP_FLAG_READ | uapi::VFIO_DMA_MAP_FLAG_WRITE | uapi::VFIO_DMA_MAP_FLAG_VADDR;

std::uint64_t memlock_pages(const fs::Task& task, std::uint64_t page_size) {
    return task.limit(fs::Resource::memlock) / page_size;
}

}  // namespace

Result<std::int64_t> Type1::map_dma(fs::Block<uapi::vfio_iommu_type1_dma_map> map) {
    if ((map->flags & ~kMapFlags) != 0) {
        return refuse(EINVAL, "flags {:x} are not all known", kMapDma, map->flags);
    }
    const bool set_vaddr = (map->flags & uapi::VFIO_DMA_MAP_FLAG_VADDR) != 0;
    std::uint32_t protection = 0;
    if ((map->flags & uapi::VFIO_DMA_MAP_FLAG_READ) != 0) {
        protection |= iommu::kRead;
    }
    if ((map->flags & uapi::VFIO_DMA_MAP_FLAG_WRITE) != 0) {
        protection |= iommu::kWrite;
    }
    if (set_vaddr == (protection != 0)) {
        return refuse(EINVAL, "flags {:x} ask for neither or for both of access and a new address",
                      kDoMap, map->flags);
    }
    fs::Task& task = map.task();
    // What a refused map held is let go after the lock.
    Ref<mm::AddressSpace> unused;
    const Lock lock(mutex_);
    if (map->size == 0 || !is_aligned(map->size | map->iova | map->vaddr, granule())) {
        return refuse(EINVAL, "size {:x}, iova {:x} or vaddr {:x} is 0 or not a multiple of {:x}",
                      kDoMap, map->size, map->iova, map->vaddr, granule());
    }
    const auto iovas = Range::of(map->iova, map->size);
    if (!iovas || !Range::of(map->vaddr, map->size)) {
        return refuse(EINVAL, "{:x} bytes from iova {:x} or from vaddr {:x} wrap", kDoMap,
                      map->size, map->iova, map->vaddr);
    }
    const auto found = mappings_.overlapping(*iovas);
    if (set_vaddr) {
        TRY(change_vaddr(task, found, *map));
        return 0;
    }
    if (found != mappings_.end()) {
        return refuse(EEXIST, "{:x} bytes from {:x} meet the mapping at {:x}", kDoMap, map->size,
                      map->iova, found->first);
    }
    if (entries_left_ == 0) {
        return refuse(ENOSPC, "all {} mappings are in use", kDoMap, options_.dma_entry_limit);
    }
    if (!iova_ranges_.allows(*iovas)) {
        return refuse(EINVAL, "{:x} to {:x} is reserved or beyond the aperture", kDoMap,
                      iovas->start, iovas->last);
    }
    if (task.faults().fails()) {
        return refuse(ENOMEM, "told to fail", kDoMap);
    }
    const auto made = mappings_.insert(map->iova);
    Mapping& mapping = made->second;
    --entries_left_;
    mapping.vaddr = map->vaddr;
    mapping.protection = protection;
    mapping.lock_cap = task.capable(fs::Capability::ipc_lock);
    mapping.memlock_pages = memlock_pages(task, page_size());
    mapping.mm = task.grab_mm();
    Result<> done;
    if (domains_.empty()) {
        mapping.size = map->size;
    } else {
        done = pin_and_map(task, map->iova, mapping, map->size);
    }
    if (done && tracks_dirty_) {
        done = begin_tracking(mapping);
    }
    if (!done) {
        unused = mapping.mm;
        remove(made);
        return std::unexpected(done.error());
    }
    return 0;
}

// The same memory under another address: what is charged moves to the caller.
Result<> Type1::change_vaddr(fs::Task& task, MappingTree::iterator found,
                             const uapi::vfio_iommu_type1_dma_map& map) {
    if (found == mappings_.end()) {
        return refuse(ENOENT, "nothing is mapped at {:x}", kDoMap, map.iova);
    }
    Mapping& mapping = found->second;
    if (!mapping.vaddr_invalid || found->first != map.iova || mapping.size != map.size) {
        return refuse(EINVAL,
                      "the mapping at {:x} of {:x} bytes is another one, or its address is valid",
                      kDoMap, found->first, mapping.size);
    }
    if (mapping.mm.get() != &task.mm()) {
        const bool lock_cap = task.capable(fs::Capability::ipc_lock);
        const auto charged = task.mm().locked_vm().charge(
            mapping.locked_pages, memlock_pages(task, page_size()), lock_cap);
        if (!charged) {
            return refuse(ENOMEM, "{} pages cannot be charged to the caller", kChangeOwner,
                          mapping.locked_pages);
        }
        mapping.mm->locked_vm().uncharge(mapping.locked_pages);
        mapping.mm = task.grab_mm();
        mapping.lock_cap = lock_cap;
    }
    mapping.vaddr = map.vaddr;
    mapping.vaddr_invalid = false;
    --invalid_vaddrs_;
    return {};
}

Result<> Type1::pin_and_map(fs::Task& task, std::uint64_t iova, Mapping& mapping,
                            std::uint64_t size) {
    mapping.iommu_mapped = true;
    while (mapping.size < size) {
        const mm::PhysicalRun run =
            TRY(pin_run(task, iova, mapping, mapping.size, size - mapping.size));
        TRY(map_in_all(task, iova + mapping.size, run, mapping.protection | iommu::kCache));
        mapping.size += run.bytes;
    }
    return {};
}

// Pins and charges the memory from `offset` on as far as it is contiguous.
Result<mm::PhysicalRun> Type1::pin_run(fs::Task& task, std::uint64_t iova, Mapping& mapping,
                                       std::uint64_t offset, std::uint64_t bytes) {
    if (options_.disable_hugepages) {
        bytes = page_size();
    }
    const auto access =
        (mapping.protection & iommu::kWrite) != 0 ? mm::Access::write : mm::Access::read;
    const mm::PhysicalRun run = TRY(task.mm().pin(mapping.vaddr + offset, bytes, access));
    // What drivers have pinned is charged already.
    const auto charged_already = static_cast<std::uint64_t>(
        std::distance(mapping.pinned_by_drivers.lower_bound(iova + offset),
                      mapping.pinned_by_drivers.lower_bound(iova + offset + run.bytes)));
    const std::uint64_t pages = run.bytes / page_size() - charged_already;
    const auto charged =
        task.mm().locked_vm().charge(pages, memlock_pages(task, page_size()), mapping.lock_cap);
    if (!charged) {
        kernel_.memory().unpin(run);
        return refuse(ENOMEM, "{} pages more would pass RLIMIT_MEMLOCK of {} bytes", kPin, pages,
                      task.limit(fs::Resource::memlock));
    }
    mapping.locked_pages += pages;
    mapping.pins.push_back(run);
    return run;
}

Result<> Type1::map_in_all(fs::Task& task, std::uint64_t iova, mm::PhysicalRun run,
                           std::uint32_t protection) {
    for (auto at = domains_.begin(); at != domains_.end(); ++at) {
        const auto mapped =
            iommu::map(*(*at)->domain, iova, run.address, run.bytes, protection, task.faults());
        if (mapped) {
            continue;
        }
        while (at != domains_.begin()) {
            --at;
            iommu::unmap(*(*at)->domain, iova, run.bytes);
        }
        return std::unexpected(mapped.error());
    }
    return {};
}

void Type1::unpin_all(Mapping& mapping) {
    for (const mm::PhysicalRun& run : mapping.pins) {
        kernel_.memory().unpin(run);
    }
    mapping.pins.clear();
    mapping.mm->locked_vm().uncharge(std::exchange(mapping.locked_pages, 0));
}

void Type1::leave_to_drivers(std::uint64_t iova, Mapping& mapping) {
    for (const auto& attached : domains_) {
        iommu::unmap(*attached->domain, iova, mapping.size);
    }
    unpin_all(mapping);
    mapping.iommu_mapped = false;
    mapping.locked_pages = mapping.pinned_by_drivers.size();
    constexpr std::uint64_t kNoLimit = ~std::uint64_t{0};
    [[maybe_unused]] const auto charged =
        mapping.mm->locked_vm().charge(mapping.locked_pages, kNoLimit, true);
}

MappingTree::iterator Type1::remove(MappingTree::iterator at) {
    Mapping& mapping = at->second;
    if (mapping.iommu_mapped && mapping.size != 0) {
        for (const auto& attached : domains_) {
            iommu::unmap(*attached->domain, at->first, mapping.size);
        }
    }
    for (const auto& [iova, page] : mapping.pinned_by_drivers) {
        kernel_.memory().unpin({page.address, page_size()});
    }
    unpin_all(mapping);
    if (mapping.vaddr_invalid) {
        --invalid_vaddrs_;
    }
    ++entries_left_;
    return mappings_.erase(at);
}

void Type1::remove_all() {
    for (auto at = mappings_.begin(); at != mappings_.end();) {
        at = remove(at);
    }
}

}  // namespace kvmiommu::vfio
