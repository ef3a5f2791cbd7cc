// SPDX-License-Identifier: MIT
//
// VFIO_IOMMU_MAP_DMA and UNMAP_DMA of a window, which make and clear one entry after the other.

#include <algorithm>

#include "vfio/spapr/tce_container.h"
#include "vfio/spapr/tce_request.h"

namespace kvmiommu::vfio {

namespace {

constexpr Source kIoctl{"drivers/vfio/vfio_iommu_spapr_tce.c: tce_iommu_ioctl"};
constexpr Source kBuild{"drivers/vfio/vfio_iommu_spapr_tce.c: tce_iommu_build"};
constexpr Source kBuild2{"drivers/vfio/vfio_iommu_spapr_tce.c: tce_iommu_build_v2"};
constexpr Source kCheck{"arch/powerpc/kernel/iommu.c: iommu_tce_check_ioba"};

using spapr::Tce;

}  // namespace

Result<std::int64_t> TceContainer::map_dma(fs::Task& task, std::uint64_t argument) {
    const Lock lock(mutex_);
    if (!enabled_) {
        return refuse(EPERM, "the container is not enabled", kIoctl);
    }
    const auto map = TRY(take_request<uapi::vfio_iommu_type1_dma_map>(task, argument));
    if ((map.flags & ~(uapi::VFIO_DMA_MAP_FLAG_READ | uapi::VFIO_DMA_MAP_FLAG_WRITE)) != 0) {
        return refuse(EINVAL, "flags {:x} have others than read and write", kIoctl, map.flags);
    }
    TRY(create_default_window(task));
    const auto number = window_of(map.iova);
    if (!number) {
        return refuse(ENXIO, "iova {:x} is in no window", kIoctl, map.iova);
    }
    spapr::HardwareTable& table = *tables_[*number];
    if (!is_aligned(map.size | map.vaddr, table.page_size())) {
        return refuse(EINVAL, "size {:x} or address {:x} is not a multiple of {:x}", kIoctl,
                      map.size, map.vaddr, table.page_size());
    }
    std::uint64_t rights = 0;
    rights |= (map.flags & uapi::VFIO_DMA_MAP_FLAG_READ) != 0 ? uapi::TCE_PCI_READ : 0;
    rights |= (map.flags & uapi::VFIO_DMA_MAP_FLAG_WRITE) != 0 ? uapi::TCE_PCI_WRITE : 0;
    if (rights == 0) {
        return refuse(EINVAL, "neither readable nor writable", kIoctl);
    }
    if (!is_aligned(map.iova, table.page_size())) {
        return check_failed(map.iova, 1);
    }
    TRY(build(task, table, {map.iova >> table.page_shift(), map.size >> table.page_shift()},
              map.vaddr, rights));
    return 0;
}

Result<std::int64_t> TceContainer::unmap_dma(fs::Task& task, std::uint64_t argument) {
    const Lock lock(mutex_);
    if (!enabled_) {
        return refuse(EPERM, "the container is not enabled", kIoctl);
    }
    const auto unmap = TRY(take_without_flags<uapi::vfio_iommu_type1_dma_unmap>(task, argument));
    TRY(create_default_window(task));
    const auto number = window_of(unmap.iova);
    if (!number) {
        return refuse(ENXIO, "iova {:x} is in no window", kIoctl, unmap.iova);
    }
    spapr::HardwareTable& table = *tables_[*number];
    if (!is_aligned(unmap.size, table.page_size())) {
        return refuse(EINVAL, "size {:x} is not a multiple of {:x}", kIoctl, unmap.size,
                      table.page_size());
    }
    const std::uint64_t first = unmap.iova >> table.page_shift();
    const std::uint64_t count = unmap.size >> table.page_shift();
    const bool past_the_end = count > table.size() - (first - table.offset()) &&
                              kernel_.fixed(fs::KernelBug::spapr_only_first_page_checked);
    if (!is_aligned(unmap.iova, table.page_size()) || past_the_end) {
        return check_failed(unmap.iova, count);
    }
    clear(table, {first, count});
    return 0;
}

// iommu_tce_check_ioba() returns 0 or 1 where its caller expects an errno.
Result<std::int64_t> TceContainer::check_failed(std::uint64_t iova, std::uint64_t pages) const {
    if (!kernel_.fixed(fs::KernelBug::spapr_check_answers_one)) {
        return 1;
    }
    return refuse(EINVAL, "{} pages from iova {:x} on are not aligned, or past the window's end",
                  kCheck, pages, iova);
}

Result<> TceContainer::build(fs::Task& task, spapr::HardwareTable& table, Pages pages,
                             std::uint64_t vaddr, std::uint64_t rights) {
    for (std::uint64_t done = 0; done < pages.count; ++done) {
        const std::uint64_t page = pages.first + done;
        const std::uint64_t address = vaddr + (done << table.page_shift());
        const auto built = v2_ ? build_registered(task, table, page, address, rights)
                               : build_one(task, table, page, address, rights);
        if (!built) {
            clear_entries(table, pages.first, pages.first + done);
            return std::unexpected(built.error());
        }
        if (!*built) {
            break;
        }
    }
    return {};
}

Result<bool> TceContainer::build_one(fs::Task& task, spapr::HardwareTable& table,
                                     std::uint64_t page, std::uint64_t vaddr,
                                     std::uint64_t rights) {
    const std::uint64_t size = kernel_.page_size();
    const std::uint64_t start = align_down(vaddr, size);
    const mm::PhysicalRun run = TRY(task.mm().pin(
        start, size, (rights & uapi::TCE_PCI_WRITE) != 0 ? mm::Access::write : mm::Access::read));
    if (table.page_size() > size) {
        kernel_.memory().unpin(run);
        return refuse(EPERM, "pages of {:x} bytes would reach beyond one of {:x}", kBuild,
                      table.page_size(), size);
    }
    const auto old = table.exchange(page, {run.address + (vaddr - start), rights}, task.faults());
    if (!old) {
        kernel_.memory().unpin(run);
        return std::unexpected(old.error());
    }
    unuse_page(*old);
    return true;
}

Result<bool> TceContainer::build_registered(fs::Task& task, spapr::HardwareTable& table,
                                            std::uint64_t page, std::uint64_t vaddr,
                                            std::uint64_t rights) {
    const spapr::RegisteredMemory::Reader registered(spapr::RegisteredMemory::of(*mm_));
    spapr::MemoryRegion* const region = registered.find(vaddr, table.page_size());
    const auto address = region ? region->translate(vaddr, table.page_shift())
                                : Result<mm::PhysAddr>(refuse(EINVAL, "", kBuild2));
    if (!address) {
        return refuse(EINVAL, "{:x} bytes at address {:x} are not registered, or in smaller pieces",
                      kBuild2, table.page_size(), vaddr);
    }
    if (!region->map()) {
        return false;  // another thread is unregistering it: the kernel returns no error
    }
    const auto user_address = table.make_user_address(page, task.faults());
    if (!user_address) {
        region->unmap();
        // Beyond the table the exchange fails, with its own errno.
        TRY(table.exchange(page, {*address, rights}, task.faults()));
        return refuse(ENOMEM, "there is no memory for the table of page {:x}", kBuild2, page);
    }
    const auto old = table.exchange(page, {*address, rights}, task.faults());
    if (!old) {
        region->unmap();
        return std::unexpected(old.error());
    }
    unuse_page_v2(table, page, *old, registered);
    user_address.store(vaddr);
    return true;
}

void TceContainer::clear(spapr::HardwareTable& table, Pages pages) {
    // Not past the window's end.
    clear_entries(
        table, pages.first,
        pages.first + std::min(pages.count, table.size() - (pages.first - table.offset())));
}

// [first, end). A build that began in the window may have made entries past its end, where the
// table may have some too.
void TceContainer::clear_entries(spapr::HardwareTable& table, std::uint64_t first,
                                 std::uint64_t end) {
    for (std::uint64_t page = first; page < end;) {
        if (const std::uint64_t skipped = table.pages_without_table(page); skipped != 0) {
            page += skipped;
            continue;
        }
        if (v2_) {
            const spapr::RegisteredMemory::Reader registered(spapr::RegisteredMemory::of(*mm_));
            unuse_page_v2(table, page, table.take(page), registered);
        } else {
            unuse_page(table.take(page));
        }
        ++page;
    }
}

void TceContainer::unuse_page(Tce old) {
    if (old.rights == 0) {
        return;
    }
    spapr::unuse_page(kernel_.memory(), kernel_.page_size(), old);
}

void TceContainer::unuse_page_v2(spapr::HardwareTable& table, std::uint64_t page, Tce old,
                                 const spapr::RegisteredMemory::Reader& registered) {
    if (old.rights == 0) {
        return;
    }
    const auto user_address = table.user_address(page);
    if (!user_address) {
        return;
    }
    const std::uint64_t address = user_address.load();
    spapr::MemoryRegion* const region = registered.find(address, table.page_size());
    if (region != nullptr && region->physical(address, table.page_shift())) {
        region->unmap();
    }
    user_address.store(0);
}

}  // namespace kvmiommu::vfio
