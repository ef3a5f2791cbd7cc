// SPDX-License-Identifier: MIT
//
// VFIO_IOMMU_UNMAP_DMA in both versions.

#include "vfio/type1.h"

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
    std::uint64_t bytes = 0;
    Range last_notified{0, 0};
    for (int rounds = 0;; ++rounds) {
        std::optional<Range> pinned;
        {
            const Lock lock(mutex_);
            if (rounds == 0) {
                TRY(check_unmap(*unmap, bitmap));
            }
            pinned = TRY(unmap_until_pinned(unmap.task(), *unmap, bitmap.data, bytes));
        }
        if (!pinned) {
            break;
        }
        if (*pinned != last_notified) {
            last_notified = *pinned;
            rounds = 1;
        }
        notify_unmap(*pinned);
        if (rounds == kMostRounds) {
            take_from_drivers(*pinned);
        }
    }
    unmap->size = bytes;
    return 0;
}

Result<> Type1::check_unmap(const uapi::vfio_iommu_type1_dma_unmap& unmap,
                            const uapi::vfio_bitmap& bitmap) {
    const bool all = (unmap.flags & uapi::VFIO_DMA_UNMAP_FLAG_ALL) != 0;
    if ((unmap.flags & uapi::VFIO_DMA_UNMAP_FLAG_VADDR) != 0 && !emulated_groups_.empty()) {
        return refuse(EBUSY, "{} groups without an IOMMU use the user addresses", kDoUnmap,
                      emulated_groups_.size());
    }
    if (!is_aligned(unmap.iova, granule())) {
        return refuse(EINVAL, "iova {:x} is not a multiple of {:x}", kDoUnmap, unmap.iova,
                      granule());
    }
    if (all) {
        if (unmap.iova != 0 || unmap.size != 0) {
            return refuse(EINVAL, "all is asked for, and iova {:x} with size {:x}", kDoUnmap,
                          unmap.iova, unmap.size);
        }
    } else if (!is_aligned(unmap.size, granule()) || !Range::of(unmap.iova, unmap.size)) {
        return refuse(EINVAL, "{:x} bytes from {:x}: 0, not a multiple of {:x}, or past the end",
                      kDoUnmap, unmap.size, unmap.iova, granule());
    }
    if ((unmap.flags & uapi::VFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP) != 0 &&
        (!tracks_dirty_ || bitmap.pgsize != granule())) {
        return refuse(EINVAL, "a bitmap of pages of {:x} bytes; tracked: {}, pages of {:x}",
                      kDoUnmap, bitmap.pgsize, tracks_dirty_, granule());
    }
    return {};
}

// Where the range ends, not included. The kernel's end wraps to 0 for a range up to the last byte,
// and then nothing is unmapped.
std::uint64_t Type1::end_of(const uapi::vfio_iommu_type1_dma_unmap& unmap) const {
    const bool all = (unmap.flags & uapi::VFIO_DMA_UNMAP_FLAG_ALL) != 0;
    const std::uint64_t end = unmap.iova + (all ? ~std::uint64_t{0} : unmap.size);
    if (end == 0 && kernel_.fixed(fs::KernelBug::type1_unmap_to_the_last_byte)) {
        return ~std::uint64_t{0};
    }
    return end;
}

Result<std::optional<Range>> Type1::unmap_until_pinned(
    fs::Task& task, const uapi::vfio_iommu_type1_dma_unmap& unmap, std::uint64_t user_bitmap,
    std::uint64_t& bytes) {
    const std::uint64_t iova = unmap.iova;
    if (v2_ && (unmap.flags & uapi::VFIO_DMA_UNMAP_FLAG_ALL) == 0 &&
        cuts_a_mapping(iova, unmap.size)) {
        return refuse(EINVAL, "{:x} bytes from {:x} would cut a mapping", kDoUnmap, unmap.size,
                      iova);
    }
    const std::uint64_t end = end_of(unmap);
    if ((unmap.flags & uapi::VFIO_DMA_UNMAP_FLAG_VADDR) != 0) {
        TRY(invalidate_vaddrs(iova, end, bytes));
        return std::nullopt;
    }
    for (auto at = mappings_.first_behind(iova); at != mappings_.end() && at->first < end;) {
        Mapping& mapping = at->second;
        if (!v2_ && iova > at->first) {
            break;
        }
        if (!mapping.pinned_by_drivers.empty()) {
            return Range{at->first, at->first + mapping.size - 1};
        }
        if ((unmap.flags & uapi::VFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP) != 0) {
            TRY(give_dirty_bitmap(task, at->first, mapping, iova, user_bitmap));
        }
        bytes += mapping.size;
        at = remove(at);
    }
    return std::nullopt;
}

void Type1::notify_unmap(Range iovas) {
    std::vector<DmaUser*> devices;
    {
        const Lock lock(mutex_);
        devices = devices_;
    }
    for (DmaUser* const device : devices) {
        device->dma_unmap(iovas.start, iovas.size());
    }
}

// A device that does not give up its pages however often it is asked is a bug of its driver, for
// which the kernel stops; here its pages are taken.
void Type1::take_from_drivers(Range iovas) {
    const Lock lock(mutex_);
    const auto found = mappings_.overlapping(iovas);
    if (found == mappings_.end()) {
        return;
    }
    while (!found->second.pinned_by_drivers.empty()) {
        const auto& [iova, page] = *found->second.pinned_by_drivers.begin();
        for (std::uint32_t count = page.count; count != 0; --count) {
            unpin_page(iova);
        }
    }
}

// Does a mapping go on before or behind the range?
bool Type1::cuts_a_mapping(std::uint64_t iova, std::uint64_t size) {
    const auto first = mappings_.overlapping({iova, iova});
    if (first != mappings_.end() && first->first != iova) {
        return true;
    }
    const std::uint64_t last_byte = iova + size - 1;
    const auto last = mappings_.overlapping({last_byte, last_byte});
    return last != mappings_.end() && last->first != last_byte &&
           last->first + last->second.size != iova + size;
}

// All or nothing: meeting one that is invalid already makes the others valid again.
Result<> Type1::invalidate_vaddrs(std::uint64_t iova, std::uint64_t end, std::uint64_t& bytes) {
    const auto first = mappings_.first_behind(iova);
    auto at = first;
    for (; at != mappings_.end() && at->first < end; ++at) {
        if (!v2_ && iova > at->first) {
            break;
        }
        if (at->second.vaddr_invalid) {
            for (auto back = first; back != at; ++back) {
                back->second.vaddr_invalid = false;
                --invalid_vaddrs_;
            }
            return refuse(EINVAL, "the address of the mapping at {:x} is invalid already", kDoUnmap,
                          at->first);
        }
        at->second.vaddr_invalid = true;
        ++invalid_vaddrs_;
        bytes += at->second.size;
    }
    return {};
}

}  // namespace kvmiommu::vfio
