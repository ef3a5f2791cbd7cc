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
    const Lock lock(mutex_);
    unmap->size = TRY(unmap_range(unmap.task(), *unmap, bitmap));
    return 0;
}

Result<std::uint64_t> Type1::unmap_range(fs::Task& task,
                                         const uapi::vfio_iommu_type1_dma_unmap& unmap,
                                         const uapi::vfio_bitmap& bitmap) {
    const bool all = (unmap.flags & uapi::VFIO_DMA_UNMAP_FLAG_ALL) != 0;
    const bool get_dirty = (unmap.flags & uapi::VFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP) != 0;
    const std::uint64_t iova = unmap.iova;
    std::uint64_t size = unmap.size;
    if (!is_aligned(iova, granule())) {
        return refuse(EINVAL, "iova {:x} is not a multiple of {:x}", kDoUnmap, iova, granule());
    }
    if (all) {
        if (iova != 0 || size != 0) {
            return refuse(EINVAL, "all is asked for, and iova {:x} with size {:x}", kDoUnmap, iova,
                          size);
        }
        size = ~std::uint64_t{0};
    } else if (!is_aligned(size, granule()) || !Range::of(iova, size)) {
        return refuse(EINVAL, "{:x} bytes from {:x}: 0, not a multiple of {:x}, or past the end",
                      kDoUnmap, size, iova, granule());
    }
    if (get_dirty && (!tracks_dirty_ || bitmap.pgsize != granule())) {
        return refuse(EINVAL, "a bitmap of pages of {:x} bytes; tracked: {}, pages of {:x}",
                      kDoUnmap, bitmap.pgsize, tracks_dirty_, granule());
    }
    if (v2_ && !all && cuts_a_mapping(iova, size)) {
        return refuse(EINVAL, "{:x} bytes from {:x} would cut a mapping", kDoUnmap, size, iova);
    }
    // The kernel's end wraps to 0 for a range up to the last byte, and then nothing is unmapped.
    std::uint64_t end = iova + size;
    if (end == 0 && kernel_.fixed(fs::KernelBug::type1_unmap_to_the_last_byte)) {
        end = ~std::uint64_t{0};
    }
    std::uint64_t unmapped = 0;
    if ((unmap.flags & uapi::VFIO_DMA_UNMAP_FLAG_VADDR) != 0) {
        TRY(invalidate_vaddrs(iova, end, unmapped));
        return unmapped;
    }
    for (auto at = mappings_.first_behind(iova); at != mappings_.end() && at->first < end;) {
        if (!v2_ && iova > at->first) {
            break;
        }
        if (get_dirty) {
            TRY(give_dirty_bitmap(task, at->first, at->second, iova, bitmap.data));
        }
        unmapped += at->second.size;
        at = remove(at);
    }
    return unmapped;
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
