// SPDX-License-Identifier: MIT
//
// Pages for drivers that do the work of an IOMMU themselves: pinned one by one, read and written
// through the user's mapping.

#include <algorithm>

#include "vfio/type1.h"

namespace kvmiommu::vfio {

namespace {
constexpr Source kPinPages{"drivers/vfio/vfio_iommu_type1.c: vfio_iommu_type1_pin_pages"};
constexpr Source kPinPage{"drivers/vfio/vfio_iommu_type1.c: vfio_pin_page_external"};
constexpr Source kDmaRw{"drivers/vfio/vfio_iommu_type1.c: vfio_iommu_type1_dma_rw_chunk"};
constexpr Source kMostPages{"drivers/vfio/container.c: vfio_device_container_pin_pages"};
}  // namespace

void Type1::register_device(DmaUser& device) {
    const Lock lock(mutex_);
    devices_.push_back(&device);
}

void Type1::unregister_device(DmaUser& device) {
    const Lock lock(mutex_);
    std::erase(devices_, &device);
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
    if (invalid_vaddrs_ != 0) {
        return refuse(EBUSY, "{} mappings have no valid user address", kPinPages, invalid_vaddrs_);
    }
    if (devices_.empty()) {
        return refuse(EINVAL, "no device is told of unmaps", kPinPages);
    }
    for (std::size_t i = 0; i < pages.size(); ++i) {
        const auto page = pin_page(iova + i * page_size(), protection);
        if (!page) {
            while (i-- != 0) {
                unpin_page(iova + i * page_size());
            }
            return std::unexpected(page.error());
        }
        pages[i] = *page;
    }
    return {};
}

Result<mm::PhysAddr> Type1::pin_page(std::uint64_t iova, std::uint32_t protection) {
    const auto found = mappings_.overlapping({iova, iova});
    if (found == mappings_.end() || found->first + found->second.size - iova < page_size()) {
        return refuse(EINVAL, "no page is mapped at {:x}", kPinPages, iova);
    }
    Mapping& mapping = found->second;
    if ((protection & ~mapping.protection) != 0) {
        return refuse(EPERM, "{:x} is mapped with protection {:x}, not {:x}", kPinPages, iova,
                      mapping.protection, protection);
    }
    const auto known = mapping.pinned_by_drivers.find(iova);
    if (known != mapping.pinned_by_drivers.end()) {
        ++known->second.count;
        return known->second.address;
    }
    if (mapping.mm->exited()) {
        return refuse(ENODEV, "the process that mapped {:x} has gone", kPinPage, iova);
    }
    const auto access =
        (mapping.protection & iommu::kWrite) != 0 ? mm::Access::write : mm::Access::read;
    const mm::PhysicalRun run =
        TRY(mapping.mm->pin(mapping.vaddr + (iova - found->first), page_size(), access));
    if (!mapping.iommu_mapped) {
        const auto charged =
            mapping.mm->locked_vm().charge(1, mapping.memlock_pages, mapping.lock_cap);
        if (!charged) {
            kernel_.memory().unpin(run);
            return refuse(ENOMEM, "a page more would pass RLIMIT_MEMLOCK of {} pages", kPinPage,
                          mapping.memlock_pages);
        }
        ++mapping.locked_pages;
    }
    mapping.pinned_by_drivers.emplace(iova, PinnedPage{run.address, 1});
    if (tracks_dirty_) {
        mark_dirty(iova - found->first, page_size(), mapping);
    }
    return run.address;
}

void Type1::unpin_pages(std::uint64_t iova, std::uint64_t count) {
    const Lock lock(mutex_);
    for (std::uint64_t i = 0; i < count; ++i) {
        unpin_page(iova + i * page_size());
    }
}

void Type1::unpin_page(std::uint64_t iova) {
    const auto found = mappings_.overlapping({iova, iova});
    if (found == mappings_.end()) {
        return;
    }
    Mapping& mapping = found->second;
    const auto page = mapping.pinned_by_drivers.find(iova);
    if (page == mapping.pinned_by_drivers.end() || --page->second.count != 0) {
        return;
    }
    kernel_.memory().unpin({page->second.address, page_size()});
    mapping.pinned_by_drivers.erase(page);
    if (!mapping.iommu_mapped) {
        --mapping.locked_pages;
        mapping.mm->locked_vm().uncharge(1);
    }
}

Result<> Type1::dma_rw(fs::Task& task, std::uint64_t iova, std::span<std::byte> data, bool write) {
    const Lock lock(mutex_);
    if (invalid_vaddrs_ != 0) {
        return refuse(EBUSY, "{} mappings have no valid user address", kDmaRw, invalid_vaddrs_);
    }
    while (!data.empty()) {
        const std::uint64_t moved = TRY(move(iova, data, write, task));
        iova += moved;
        data = data.subspan(moved);
    }
    return {};
}

// Within one mapping.
Result<std::uint64_t> Type1::move(std::uint64_t iova, std::span<std::byte> data, bool write,
                                  fs::Task& task) {
    const auto found = mappings_.overlapping({iova, iova});
    if (found == mappings_.end()) {
        return refuse(EINVAL, "nothing is mapped at {:x}", kDmaRw, iova);
    }
    Mapping& mapping = found->second;
    // A mapping that the device may only write cannot be used, not even for writing.
    if ((write && (mapping.protection & iommu::kWrite) == 0) ||
        (mapping.protection & iommu::kRead) == 0) {
        return refuse(EPERM, "{:x} is mapped with protection {:x}", kDmaRw, iova,
                      mapping.protection);
    }
    if (mapping.mm.get() != &task.mm()) {
        return refuse(EPERM, "{:x} was mapped by another process", kDmaRw, iova);
    }
    const std::uint64_t offset = iova - found->first;
    const std::uint64_t bytes = std::min<std::uint64_t>(data.size(), mapping.size - offset);
    if (!write) {
        TRY(mapping.mm->copy_in(data.data(), mapping.vaddr + offset, bytes));
        return bytes;
    }
    TRY(mapping.mm->copy_out(mapping.vaddr + offset, data.data(), bytes));
    if (tracks_dirty_) {
        mark_dirty(offset, bytes, mapping);
    }
    return bytes;
}

}  // namespace kvmiommu::vfio
