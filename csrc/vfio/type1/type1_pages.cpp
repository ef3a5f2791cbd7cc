// SPDX-License-Identifier: MIT
//
// Access for the drivers of emulated devices: pages pinned one by one, and data moved through the
// user's mappings.

#include <algorithm>
#include <utility>

#include "vfio/type1/type1.h"

namespace kvmiommu::vfio {

namespace {
constexpr Source kPinPages{"drivers/vfio/vfio_iommu_type1.c: vfio_iommu_type1_pin_pages"};
constexpr Source kPinPage{"drivers/vfio/vfio_iommu_type1.c: vfio_pin_page_external"};
constexpr Source kDmaRw{"drivers/vfio/vfio_iommu_type1.c: vfio_iommu_type1_dma_rw_chunk"};
constexpr Source kMostPages{"drivers/vfio/container.c: vfio_device_container_pin_pages"};
}  // namespace

void Type1::register_device(DmaUser& device) {
    const Lock lock(mutex_);
    device_list_.push_back(&device);
}

void Type1::unregister_device(DmaUser& device) {
    const Lock lock(mutex_);
    std::erase(device_list_, &device);
    // An unmap may be calling it.
    while (notifying_ != 0) {
        idle_.wait(mutex_);
    }
}

Result<> Type1::pin_pages(fs::Task&, std::uint64_t iova, std::uint32_t protection,
                          std::span<mm::PhysAddr> pages) {
    const std::uint64_t most = page_size() / sizeof(std::uint64_t);
    if (pages.size() > most) {
        return refuse(E2BIG, "{} pages at once, {} are the most", kMostPages, pages.size(), most);
    }
    if (!v2_) {
        return refuse(EACCES, "a container of version 1 lets no driver pin", kPinPages);
    }
    const Lock lock(mutex_);
    if (vaddr_invalid_count_ != 0) {
        return refuse(EBUSY, "{} mappings have no valid user address", kPinPages,
                      vaddr_invalid_count_);
    }
    if (device_list_.empty()) {
        return refuse(EINVAL, "no registered device whose driver unpins at an unmap", kPinPages);
    }
    std::size_t done = 0;
    Undo unpin([&] {
        mutex_.assert_held();
        for (std::size_t i = 0; i < done; ++i) {
            unpin_page(iova + i * page_size());
        }
    });
    for (; done < pages.size(); ++done) {
        pages[done] = TRY(pin_page(iova + done * page_size(), protection));
    }
    unpin.dismiss();
    return {};
}

Result<mm::PhysAddr> Type1::pin_page(std::uint64_t iova, std::uint32_t protection) {
    const auto found = dma_list_.overlapping({iova, iova});
    if (found == dma_list_.end() || found->first + found->second.size - iova < page_size()) {
        return refuse(EINVAL, "no page is mapped at {:x}", kPinPages, iova);
    }
    VfioDma& dma = found->second;
    if ((protection & ~dma.prot) != 0) {
        return refuse(EPERM, "{:x} is mapped with protection {:x}, not {:x}", kPinPages, iova,
                      dma.prot, protection);
    }
    const auto known = dma.pfn_list.find(iova);
    if (known != dma.pfn_list.end()) {
        ++known->second.ref_count;
        return known->second.pin.address();
    }
    if (dma.mm->exited()) {
        return refuse(ENODEV, "the process that mapped {:x} has gone", kPinPage, iova);
    }
    const std::uint64_t offset = iova - found->first;
    mm::Pin pin = TRY(mm::Pin::of(*dma.mm, dma.vaddr + offset, page_size(), dma.access()));
    const mm::PhysAddr address = pin.address();
    if (!dma.iommu_mapped && !dma.pfn_charge.add(1, dma.memlock_pages, dma.lock_cap)) {
        return refuse(ENOMEM, "a page more would pass RLIMIT_MEMLOCK of {} pages", kPinPage,
                      dma.memlock_pages);
    }
    dma.pfn_list.emplace(iova, VfioPfn{std::move(pin), 1});
    if (dirty_page_tracking_) {
        mark_dirty(dma, offset, page_size());
    }
    return address;
}

void Type1::unpin_pages(std::uint64_t iova, std::uint64_t count) {
    const Lock lock(mutex_);
    for (std::uint64_t i = 0; i < count; ++i) {
        unpin_page(iova + i * page_size());
    }
}

void Type1::unpin_page(std::uint64_t iova) {
    const auto found = dma_list_.overlapping({iova, iova});
    if (found == dma_list_.end()) {
        return;
    }
    VfioDma& dma = found->second;
    const auto pfn = dma.pfn_list.find(iova);
    if (pfn != dma.pfn_list.end() && --pfn->second.ref_count == 0) {
        drop_pfn(dma, pfn);
    }
}

void Type1::drop_pfn(VfioDma& dma, std::map<std::uint64_t, VfioPfn>::iterator pfn) {
    dma.pfn_list.erase(pfn);
    if (!dma.iommu_mapped) {
        dma.pfn_charge.drop(1);
    }
}

Result<> Type1::dma_rw(fs::Task& task, std::uint64_t iova, std::span<std::byte> data, bool write) {
    while (!data.empty()) {
        // Neither the mapping nor its address space is removed while copying_ counts this copy.
        VfioDma* dma = nullptr;
        std::uint64_t offset = 0;
        {
            const Lock lock(mutex_);
            while (waiting_for_copies_ != 0) {
                idle_.wait(mutex_);
            }
            const auto found = TRY(dma_to_copy(task, iova, write));
            dma = &found->second;
            offset = iova - found->first;
            ++copying_;
        }
        const std::uint64_t bytes = std::min<std::uint64_t>(data.size(), dma->size - offset);
        const Result<> copied =
            write ? dma->mm->copy_to_user(dma->vaddr + offset, data.data(), bytes)
                  : dma->mm->copy_from_user(data.data(), dma->vaddr + offset, bytes);
        {
            const Lock lock(mutex_);
            if (copied && write && dirty_page_tracking_) {
                mark_dirty(*dma, offset, bytes);
            }
            if (--copying_ == 0) {
                idle_.notify_all();
            }
        }
        TRY(copied);
        iova += bytes;
        data = data.subspan(bytes);
    }
    return {};
}

Result<DmaList::iterator> Type1::dma_to_copy(fs::Task& task, std::uint64_t iova, bool write) {
    if (vaddr_invalid_count_ != 0) {
        return refuse(EBUSY, "{} mappings have no valid user address", kDmaRw,
                      vaddr_invalid_count_);
    }
    const auto found = dma_list_.overlapping({iova, iova});
    if (found == dma_list_.end()) {
        return refuse(EINVAL, "nothing is mapped at {:x}", kDmaRw, iova);
    }
    const VfioDma& dma = found->second;
    // The kernel checks for read permission also before a write.
    if ((write && (dma.prot & iommu::kWrite) == 0) || (dma.prot & iommu::kRead) == 0) {
        return refuse(EPERM, "{:x} is mapped with protection {:x}", kDmaRw, iova, dma.prot);
    }
    if (dma.mm.get() != &task.mm()) {
        return refuse(EPERM, "{:x} was mapped by another process", kDmaRw, iova);
    }
    return found;
}

void Type1::wait_until_copied() {
    ++waiting_for_copies_;
    while (copying_ != 0) {
        idle_.wait(mutex_);
    }
    --waiting_for_copies_;
    idle_.notify_all();
}

}  // namespace kvmiommu::vfio
