// SPDX-License-Identifier: MIT
//
// VFIO_IOMMU_UNMAP_DMA in both versions.

#include <utility>

#include "vfio/dma_user.h"
#include "vfio/type1/type1.h"

namespace kvmiommu::vfio {

namespace {
constexpr Source kUnmapDma{"drivers/vfio/vfio_iommu_type1.c: vfio_iommu_type1_unmap_dma"};
constexpr Source kDoUnmap{"drivers/vfio/vfio_iommu_type1.c: vfio_dma_do_unmap"};

constexpr std::uint32_t kUnmapFlags = uapi::VFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP |
                                      uapi::VFIO_DMA_UNMAP_FLAG_ALL |
                                      uapi::VFIO_DMA_UNMAP_FLAG_VADDR;
constexpr int kMostRounds = 10;
}  // namespace

Result<std::int64_t> Type1::unmap_dma(fs::Block<uapi::vfio_iommu_type1_dma_unmap> unmap) {
    if ((unmap->flags & ~kUnmapFlags) != 0) {
        return refuse(EINVAL, "flags {:x} are not all known", kUnmapDma, unmap->flags);
    }
    const bool get_dirty = (unmap->flags & uapi::VFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP) != 0;
    uapi::vfio_bitmap bitmap{};
    if (get_dirty) {
        if (unmap->flags != uapi::VFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP) {
            return refuse(EINVAL, "flags {:x}: a dirty bitmap goes with no other flag", kUnmapDma,
                          unmap->flags);
        }
        if (unmap->argsz < sizeof *unmap + sizeof bitmap) {
            return refuse(EINVAL, "argsz {} has no room for a bitmap", kUnmapDma, unmap->argsz);
        }
        bitmap = TRY(unmap.user().offset<uapi::vfio_bitmap>(sizeof *unmap).read(unmap.task().mm()));
        TRY(check_bitmap(bitmap, unmap->size));
    }
    Unmapping unmapping{
        .request = *unmap, .bitmap = bitmap, .bytes = 0, .pinned = {}, .copy = {}, .removed = {}};
    Range last_notified{0, 0};
    int rounds = 0;
    for (bool first = true;; first = false) {
        {
            const Lock lock(mutex_);
            wait_for_copies();
            if (first) {
                TRY(check_unmap(*unmap));
            }
            // Checked in each round: the lock was dropped, so tracking and page size may differ.
            if (get_dirty) {
                TRY(check_unmap_bitmap(bitmap));
            }
            TRY(unmap_some(unmapping));
        }
        if (unmapping.copy) {
            TRY(give_bitmap(unmap.task(), *unmapping.copy));
        } else if (unmapping.pinned) {
            rounds = *unmapping.pinned == last_notified ? rounds + 1 : 1;
            last_notified = *unmapping.pinned;
            notify_unmap(last_notified);
            if (rounds == kMostRounds) {
                take_from_drivers(last_notified);
            }
        } else {
            break;
        }
    }
    unmap->size = unmapping.bytes;
    return 0;
}

Result<> Type1::check_unmap(const uapi::vfio_iommu_type1_dma_unmap& unmap) {
    const bool all = (unmap.flags & uapi::VFIO_DMA_UNMAP_FLAG_ALL) != 0;
    if ((unmap.flags & uapi::VFIO_DMA_UNMAP_FLAG_VADDR) != 0 && !emulated_iommu_groups_.empty()) {
        return refuse(EBUSY, "{} groups without an IOMMU use the user addresses", kDoUnmap,
                      emulated_iommu_groups_.size());
    }
    if (!is_aligned(unmap.iova, pgsize())) {
        return refuse(EINVAL, "iova {:x} is not a multiple of {:x}", kDoUnmap, unmap.iova,
                      pgsize());
    }
    if (all) {
        if (unmap.iova != 0 || unmap.size != 0) {
            return refuse(EINVAL, "all is asked for, and iova {:x} with size {:x}", kDoUnmap,
                          unmap.iova, unmap.size);
        }
    } else if (unmap.size == 0 || !is_aligned(unmap.size, pgsize())) {
        return refuse(EINVAL, "{:x} bytes: 0, or not a multiple of {:x}", kDoUnmap, unmap.size,
                      pgsize());
    } else if (!Range::of(unmap.iova, unmap.size)) {
        return refuse(kernel_.has(fs::Interfaces::v7_2) ? EOVERFLOW : EINVAL,
                      "{:x} bytes from {:x} wrap", kDoUnmap, unmap.size, unmap.iova);
    }
    return {};
}

Result<> Type1::check_unmap_bitmap(const uapi::vfio_bitmap& bitmap) {
    if (!dirty_page_tracking_ || bitmap.pgsize != pgsize()) {
        return refuse(EINVAL, "a bitmap of pages of {:x} bytes; tracked: {}, pages of {:x}",
                      kDoUnmap, bitmap.pgsize, dirty_page_tracking_, pgsize());
    }
    return {};
}

// The end of the range, exclusive. The kernel's end wraps to 0 for a range up to the last byte, and
// then nothing is unmapped.
std::uint64_t Type1::end_of(const uapi::vfio_iommu_type1_dma_unmap& unmap) const {
    const bool all = (unmap.flags & uapi::VFIO_DMA_UNMAP_FLAG_ALL) != 0;
    const std::uint64_t end = unmap.iova + (all ? ~std::uint64_t{0} : unmap.size);
    if (end == 0 && kernel_.fixed(fs::KernelBug::type1_unmap_to_the_last_byte)) {
        return ~std::uint64_t{0};
    }
    return end;
}

Result<> Type1::unmap_some(Unmapping& unmapping) {
    const uapi::vfio_iommu_type1_dma_unmap& unmap = unmapping.request;
    const std::uint64_t iova = unmap.iova;
    const auto given = std::exchange(unmapping.copy, std::nullopt);
    unmapping.pinned.reset();
    if (v2_ && (unmap.flags & uapi::VFIO_DMA_UNMAP_FLAG_ALL) == 0 &&
        cuts_a_mapping(iova, unmap.size)) {
        return refuse(EINVAL, "{:x} bytes from {:x} would cut a mapping", kDoUnmap, unmap.size,
                      iova);
    }
    const std::uint64_t end = end_of(unmap);
    if ((unmap.flags & uapi::VFIO_DMA_UNMAP_FLAG_VADDR) != 0) {
        return invalidate_vaddrs(iova, end, unmapping.bytes);
    }
    const bool get_dirty = (unmap.flags & uapi::VFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP) != 0;
    for (auto at = dma_list_.first_behind(iova); at != dma_list_.end() && at->first < end;) {
        VfioDma& dma = at->second;
        if (!v2_ && iova > at->first) {
            break;
        }
        if (!dma.pfn_list.empty()) {
            unmapping.pinned = Range{at->first, at->first + dma.size - 1};
            break;
        }
        if (get_dirty && (!given || unchanged(*given) != &dma)) {
            unmapping.copy = copy_bitmap(at->first, dma, iova, unmapping.bitmap.data);
            if (given && given->iova == at->first) {
                unmapping.copy->leftover = given->leftover;
            }
            break;
        }
        unmapping.bytes += dma.size;
        at = remove(at, unmapping.removed);
    }
    return {};
}

void Type1::notify_unmap(Range iovas) {
    std::vector<DmaUser*> devices;
    {
        const Lock lock(mutex_);
        devices = device_list_;
        ++notifying_;
    }
    for (DmaUser* const device : devices) {
        device->dma_unmap(iovas.start, iovas.size());
    }
    const Lock lock(mutex_);
    --notifying_;
    idle_.notify_all();
}

// A driver that does not unpin after kMostRounds calls has a bug: the kernel stops with BUG(), here
// its pages are unpinned.
void Type1::take_from_drivers(Range iovas) {
    const Lock lock(mutex_);
    const auto found = dma_list_.overlapping(iovas);
    if (found == dma_list_.end()) {
        return;
    }
    VfioDma& dma = found->second;
    while (!dma.pfn_list.empty()) {
        drop_pfn(dma, dma.pfn_list.begin());
    }
}

// Is there a mapping that begins in front of the range or ends behind it?
bool Type1::cuts_a_mapping(std::uint64_t iova, std::uint64_t size) {
    const auto first = dma_list_.overlapping({iova, iova});
    if (first != dma_list_.end() && first->first != iova) {
        return true;
    }
    const std::uint64_t last_byte = iova + size - 1;
    const auto last = dma_list_.overlapping({last_byte, last_byte});
    return last != dma_list_.end() && last->first != last_byte &&
           last->first + last->second.size != iova + size;
}

// All or nothing.
Result<> Type1::invalidate_vaddrs(std::uint64_t iova, std::uint64_t end, std::uint64_t& bytes) {
    const auto first = dma_list_.first_behind(iova);
    auto last = first;  // not included
    for (; last != dma_list_.end() && last->first < end; ++last) {
        if (!v2_ && iova > last->first) {
            break;
        }
        if (last->second.vaddr_invalid) {
            return refuse(EINVAL, "the address of the mapping at {:x} is invalid already", kDoUnmap,
                          last->first);
        }
    }
    for (auto at = first; at != last; ++at) {
        at->second.vaddr_invalid = true;
        ++vaddr_invalid_count_;
        bytes += at->second.size;
    }
    return {};
}

}  // namespace kvmiommu::vfio
