// SPDX-License-Identifier: MIT
//
// VFIO_IOMMU_MAP_DMA: pinning, charging and mapping.

#include <iterator>
#include <utility>

#include "vfio/type1/type1.h"

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
    const auto iovas = Range::of(map->iova, map->size);
    const bool wraps = !iovas || !Range::of(map->vaddr, map->size);
    if (wraps && map->size != 0 && kernel_.has(fs::Interfaces::v7_2)) {
        return refuse(EOVERFLOW, "{:x} bytes from iova {:x} or from vaddr {:x} wrap", kDoMap,
                      map->size, map->iova, map->vaddr);
    }
    if (set_vaddr == (protection != 0)) {
        return refuse(EINVAL, "flags {:x} ask for neither or for both of access and a new address",
                      kDoMap, map->flags);
    }
    fs::Task& task = map.task();
    // Put after the lock: what a failed map took, and the address space of a former owner.
    DmaList::Removed removed;
    Ref<mm::AddressSpace> unused;
    const Lock lock(mutex_);
    if (map->size == 0 || !is_aligned(map->size | map->iova | map->vaddr, pgsize())) {
        return refuse(EINVAL, "size {:x}, iova {:x} or vaddr {:x} is 0 or not a multiple of {:x}",
                      kDoMap, map->size, map->iova, map->vaddr, pgsize());
    }
    if (wraps) {
        return refuse(EINVAL, "{:x} bytes from iova {:x} or from vaddr {:x} wrap", kDoMap,
                      map->size, map->iova, map->vaddr);
    }
    const auto next = dma_list_.first_behind(iovas->start);
    const auto found =
        next != dma_list_.end() && next->first <= iovas->last ? next : dma_list_.end();
    if (set_vaddr) {
        TRY(change_vaddr(task, found, *map, unused));
        return 0;
    }
    if (found != dma_list_.end()) {
        return refuse(EEXIST, "{:x} bytes from {:x} meet the mapping at {:x}", kDoMap, map->size,
                      map->iova, found->first);
    }
    if (dma_avail_ == 0) {
        return refuse(ENOSPC, "all {} mappings are in use", kDoMap, options_.dma_entry_limit);
    }
    if (!iova_list_.allows(*iovas)) {
        return refuse(EINVAL, "{:x} to {:x} is reserved or beyond the aperture", kDoMap,
                      iovas->start, iovas->last);
    }
    if (task.faults().fails()) {
        return refuse(ENOMEM, "told to fail", kDoMap);
    }
    const auto made = dma_list_.insert(map->iova, next);
    VfioDma& dma = made->second;
    --dma_avail_;
    dma.vaddr = map->vaddr;
    dma.prot = protection;
    dma.lock_cap = task.capable(fs::Capability::ipc_lock);
    dma.memlock_pages = memlock_pages(task, page_size());
    dma.mm = task.grab_mm();
    dma.pins.charge() = mm::Charge(dma.mm->locked_vm());
    dma.pfn_charge = mm::Charge(dma.mm->locked_vm());
    Result<> done;
    if (domain_list_.empty()) {
        dma.size = map->size;
    } else {
        done = pin_and_map(task, map->iova, dma, map->size);
    }
    if (done && dirty_page_tracking_) {
        done = begin_tracking(dma);
    }
    if (!done) {
        remove(made, removed);
        return std::unexpected(done.error());
    }
    return 0;
}

// The same memory at a new user address. The mapping's charge moves to the caller.
Result<> Type1::change_vaddr(fs::Task& task, DmaList::iterator found,
                             const uapi::vfio_iommu_type1_dma_map& map,
                             Ref<mm::AddressSpace>& unused) {
    if (found == dma_list_.end()) {
        return refuse(ENOENT, "nothing is mapped at {:x}", kDoMap, map.iova);
    }
    VfioDma& dma = found->second;
    if (!dma.vaddr_invalid || found->first != map.iova || dma.size != map.size) {
        return refuse(EINVAL,
                      "the mapping at {:x} of {:x} bytes is another one, or its address is valid",
                      kDoMap, found->first, dma.size);
    }
    if (dma.mm.get() != &task.mm()) {
        const bool lock_cap = task.capable(fs::Capability::ipc_lock);
        const std::uint64_t limit = memlock_pages(task, page_size());
        mm::Charge charge(task.mm().locked_vm());
        if (!charge.add(dma.locked_vm(), limit, lock_cap)) {
            return refuse(ENOMEM, "{} pages cannot be charged to the caller", kChangeOwner,
                          dma.locked_vm());
        }
        dma.pfn_charge = charge.split(dma.pfn_charge.pages());
        dma.pins.charge() = std::move(charge);
        unused = std::move(dma.mm);
        dma.mm = task.grab_mm();
        dma.lock_cap = lock_cap;
        dma.memlock_pages = limit;
    }
    dma.vaddr = map.vaddr;
    dma.vaddr_invalid = false;
    --vaddr_invalid_count_;
    return {};
}

Result<> Type1::pin_and_map(fs::Task& task, std::uint64_t iova, VfioDma& dma, std::uint64_t size) {
    dma.iommu_mapped = true;
    while (dma.size < size) {
        const mm::PinnedRun run =
            TRY(pin_run(task, iova, dma, dma.size, size - dma.size, dma.pins));
        TRY(map_in_all(task, iova + dma.size, run, dma.prot | iommu::kCache));
        dma.size += run.bytes();
    }
    return {};
}

// Pins the caller's memory and checks the caller's limit, but charges the mapping's own task. They
// differ when a task attaches a group to a container with another task's mappings.
Result<mm::PinnedRun> Type1::pin_run(fs::Task& task, std::uint64_t iova, const VfioDma& dma,
                                     std::uint64_t offset, std::uint64_t bytes, mm::Pins& pins) {
    if (options_.disable_hugepages) {
        bytes = page_size();
    }
    mm::Pin pin = TRY(mm::Pin::of(task.mm(), dma.vaddr + offset, bytes, dma.access()));
    // Pages that drivers have pinned are charged already.
    const auto charged_already = static_cast<std::uint64_t>(
        std::distance(dma.pfn_list.lower_bound(iova + offset),
                      dma.pfn_list.lower_bound(iova + offset + pin.bytes())));
    const std::uint64_t pages = pin.bytes() / page_size() - charged_already;
    const auto past_the_limit = [&] {
        return refuse(ENOMEM, "{} pages more would pass RLIMIT_MEMLOCK of {} bytes", kPin, pages,
                      task.limit(fs::Resource::memlock));
    };
    std::uint64_t limit = memlock_pages(task, page_size());
    if (dma.mm.get() != &task.mm()) {
        if (pages != 0 && !dma.lock_cap && task.mm().locked_vm().pages() + pages > limit) {
            return past_the_limit();
        }
        limit = dma.memlock_pages;
    }
    const auto run = pins.extend(offset, std::move(pin), pages, limit, dma.lock_cap);
    if (!run) {
        return past_the_limit();
    }
    return *run;
}

Result<> Type1::map_in_all(fs::Task& task, std::uint64_t iova, mm::PinnedRun run,
                           std::uint32_t protection) {
    std::size_t done = 0;
    Undo unmap([&] {
        mutex_.assert_held();
        for (std::size_t i = 0; i < done; ++i) {
            iommu::unmap_whole(*domain_list_[i]->domain, iova, run.bytes());
        }
    });
    for (; done < domain_list_.size(); ++done) {
        TRY(iommu::map(*domain_list_[done]->domain, iova, run.address(), run.bytes(), protection,
                       task.faults()));
    }
    unmap.dismiss();
    return {};
}

// No page of an IOMMU reaches beyond the mapping.
void Type1::unmap_from_all(std::uint64_t iova, std::uint64_t size) {
    for (const auto& attached : domain_list_) {
        iommu::unmap_whole(*attached->domain, iova, size);
    }
}

void Type1::leave_to_drivers(std::uint64_t iova, VfioDma& dma) {
    unmap_from_all(iova, dma.size);
    dma.pins.clear();
    dma.iommu_mapped = false;
    dma.pfn_charge.recount(dma.pfn_list.size());
}

DmaList::iterator Type1::remove(DmaList::iterator at, DmaList::Removed& removed) {
    VfioDma& dma = at->second;
    if (dma.iommu_mapped && dma.size != 0) {
        unmap_from_all(at->first, dma.size);
    }
    dma.pins.clear();
    dma.pfn_list.clear();
    dma.pfn_charge.clear();
    if (dma.vaddr_invalid) {
        --vaddr_invalid_count_;
    }
    ++dma_avail_;
    return dma_list_.remove(at, removed);
}

void Type1::remove_all(DmaList::Removed& removed) {
    for (auto at = dma_list_.begin(); at != dma_list_.end();) {
        at = remove(at, removed);
    }
}

}  // namespace kvmiommu::vfio
