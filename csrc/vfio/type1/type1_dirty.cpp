// SPDX-License-Identifier: MIT
//
// VFIO_IOMMU_DIRTY_PAGES: which pages devices may have written. No IOMMU reports that to a type1
// container, so every page that is mapped for an IOMMU counts as dirty. Without one, the pages that
// drivers pin or write are dirty.

#include <algorithm>
#include <bit>

#include "vfio/type1/type1.h"

namespace kvmiommu::vfio {

namespace {

constexpr Source kDirtyPages{"drivers/vfio/vfio_iommu_type1.c: vfio_iommu_type1_dirty_pages"};
constexpr Source kVerify{"drivers/vfio/vfio_iommu_type1.c: verify_bitmap_size"};
constexpr Source kGetBitmap{"drivers/vfio/vfio_iommu_type1.c: vfio_iova_dirty_bitmap"};

constexpr std::uint64_t kLargestBitmap = std::uint64_t{1} << 28;
constexpr std::uint64_t kBits = DmaBitmap::kBits;

std::uint64_t words_for(std::uint64_t bits) {
    return (bits + kBits - 1) / kBits;
}

}  // namespace

Result<std::int64_t> Type1::no_dirty_pages(fs::Task&, std::uint64_t) {
    return refuse(EACCES, "a container of version 1 tracks no dirty pages", kDirtyPages);
}

Result<std::int64_t> Type1::dirty_pages(fs::Block<uapi::vfio_iommu_type1_dirty_bitmap> dirty) {
    switch (dirty->flags) {
        case uapi::VFIO_IOMMU_DIRTY_PAGES_FLAG_START: {
            const Lock lock(mutex_);
            TRY(start_dirty_tracking());
            return 0;
        }
        case uapi::VFIO_IOMMU_DIRTY_PAGES_FLAG_STOP: {
            const Lock lock(mutex_);
            stop_dirty_tracking();
            return 0;
        }
        case uapi::VFIO_IOMMU_DIRTY_PAGES_FLAG_GET_BITMAP: {
            using Get = uapi::vfio_iommu_type1_dirty_bitmap_get;
            if (dirty->argsz < sizeof *dirty + sizeof(Get)) {
                return refuse(EINVAL, "argsz {} has no room for a range and a bitmap", kDirtyPages,
                              dirty->argsz);
            }
            return get_dirty_bitmap(
                dirty.task(), TRY(dirty.user().offset<Get>(sizeof *dirty).read(dirty.task().mm())));
        }
        default:
            return refuse(EINVAL, "flags {:x} are not one of start, stop and get", kDirtyPages,
                          dirty->flags);
    }
}

Result<> Type1::check_bitmap(const uapi::vfio_bitmap& bitmap, std::uint64_t size) {
    if (bitmap.data > mm::kTaskSize || bitmap.size > mm::kTaskSize - bitmap.data) {
        return refuse(EINVAL, "a bitmap of {:x} bytes at {:x} is past the user addresses' end",
                      kDirtyPages, bitmap.size, bitmap.data);
    }
    // A page size of 0 is refused later. The kernel's shift by ffs(0) - 1 shifts by nothing here.
    const std::uint64_t pages = bitmap.pgsize == 0 ? size : size >> std::countr_zero(bitmap.pgsize);
    if (pages == 0 || bitmap.size == 0 || bitmap.size > kLargestBitmap ||
        bitmap.size < words_for(pages) * sizeof(std::uint64_t)) {
        return refuse(EINVAL, "a bitmap of {:x} bytes for {} pages of {:x} bytes", kVerify,
                      bitmap.size, pages, bitmap.pgsize);
    }
    return {};
}

Result<> Type1::start_dirty_tracking() {
    if (dirty_page_tracking_) {
        return {};
    }
    Undo stop([&] {
        mutex_.assert_held();
        stop_dirty_tracking();
    });
    for (auto& [iova, dma] : dma_list_) {
        TRY(begin_tracking(dma));
        mark_pinned_dirty(iova, dma);
    }
    stop.dismiss();
    dirty_page_tracking_ = true;
    return {};
}

void Type1::stop_dirty_tracking() {
    dirty_page_tracking_ = false;
    for (auto& [iova, dma] : dma_list_) {
        dma.bitmap = {};
    }
}

Result<> Type1::begin_tracking(VfioDma& dma) {
    dma.bitmap = TRY(DmaBitmap::create(dma.size, pgsize()));
    bitmap_changed(dma);
    return {};
}

Result<std::int64_t> Type1::get_dirty_bitmap(fs::Task& task,
                                             const uapi::vfio_iommu_type1_dirty_bitmap_get& get) {
    if (kernel_.has(fs::Interfaces::v7_2)) {
        if (get.size == 0) {
            return refuse(EINVAL, "0 bytes from {:x}", kDirtyPages, get.iova);
        }
        if (!Range::of(get.iova, get.size)) {
            return refuse(EOVERFLOW, "{:x} bytes from {:x} wrap", kDirtyPages, get.size, get.iova);
        }
    } else if (get.iova + get.size < get.iova) {
        // Also a range up to the last byte.
        return refuse(EINVAL, "{:x} bytes from {:x} wrap", kDirtyPages, get.size, get.iova);
    }
    TRY(check_bitmap(get.bitmap, get.size));
    const std::uint64_t last = get.iova + (get.size - 1);
    std::optional<BitmapCopy> given;
    for (std::uint64_t next = get.iova;;) {
        std::optional<BitmapCopy> copy;
        {
            const Lock lock(mutex_);
            // Checked in each round: the lock was dropped, so anything may have changed.
            TRY(check_get(get));
            auto at = dma_list_.first_behind(next);
            if (given) {
                if (VfioDma* const dma = unchanged(*given)) {
                    keep_shift(*given, *dma);
                    forget_dirty(given->iova, *dma);
                    if (given->last >= last) {
                        return 0;
                    }
                    next = given->last + 1;
                    at = dma_list_.first_behind(next);
                }
            }
            if (at == dma_list_.end() || at->first > last) {
                return 0;
            }
            copy = copy_bitmap(at->first, at->second, get.iova, get.bitmap.data);
            if (given && given->iova == copy->iova) {
                copy->leftover = given->leftover;
            }
        }
        TRY(give_bitmap(task, *copy));
        given = std::move(copy);
    }
}

Result<> Type1::check_get(const uapi::vfio_iommu_type1_dirty_bitmap_get& get) {
    if (get.bitmap.pgsize != pgsize() || get.size == 0 ||
        !is_aligned(get.iova | get.size, pgsize())) {
        return refuse(EINVAL, "{:x} bytes from {:x} in pages of {:x}: must be pages of {:x}",
                      kDirtyPages, get.size, get.iova, get.bitmap.pgsize, pgsize());
    }
    if (!dirty_page_tracking_) {
        return refuse(EINVAL, "dirty pages are not tracked", kDirtyPages);
    }
    if (cuts_a_mapping(get.iova, get.size)) {
        return refuse(EINVAL, "{:x} bytes from {:x} would cut a mapping", kGetBitmap, get.size,
                      get.iova);
    }
    return {};
}

void Type1::mark_dirty(VfioDma& dma, std::uint64_t offset, std::uint64_t bytes) {
    dma.bitmap.mark(offset, bytes);
    bitmap_changed(dma);
}

// Pages that drivers have pinned stay dirty, because the device may write them at any time.
void Type1::mark_pinned_dirty(std::uint64_t iova, VfioDma& dma) {
    for (const auto& [page, pinned] : dma.pfn_list) {
        mark_dirty(dma, page - iova, page_size());
    }
}

void Type1::mark_all_dirty() {
    for (auto& [iova, dma] : dma_list_) {
        dma.bitmap.mark_all();
        bitmap_changed(dma);
    }
}

// The bits of a mapping in a bitmap that begins at iova `base`, in whole words: bits behind the
// mapping in its last word are written too, and bits of the user's first word are kept.
Type1::BitmapCopy Type1::copy_bitmap(std::uint64_t iova, VfioDma& dma, std::uint64_t base,
                                     std::uint64_t user_bitmap) {
    if (dma.bitmap.pgsize() != pgsize()) {
        // Not too many pages: the size of the user's bitmap was checked.
        dma.bitmap.remake(pgsize());
        bitmap_changed(dma);
    }
    if (dma.iommu_mapped) {
        dma.bitmap.mark_all();
    }
    const std::uint64_t first_bit = (iova - base) / pgsize();
    const auto shift = static_cast<unsigned>(first_bit % kBits);
    return {.iova = iova,
            .last = iova + (dma.size - 1),
            .version = dma.bitmap_version,
            .shift = shift,
            .to = user_bitmap + first_bit / kBits * sizeof(std::uint64_t),
            .words = dma.bitmap.shifted(shift),
            .leftover = {}};
}

// Without the lock: the user's bitmap may be memory that another thread unmaps.
Result<> Type1::give_bitmap(fs::Task& task, BitmapCopy& copy) {
    const auto given = [&]() -> Result<> {
        if (copy.shift != 0) {
            if (!copy.leftover) {
                copy.leftover = TRY(mm::UserPtr<std::uint64_t>(copy.to).read(task.mm()));
            }
            copy.words[0] |= *copy.leftover;
        }
        return task.mm().copy_to_user(copy.to, copy.words.data(),
                                      copy.words.size() * sizeof(std::uint64_t));
    }();
    if (!given) {
        const Lock lock(mutex_);
        if (VfioDma* const dma = unchanged(copy)) {
            keep_shift(copy, *dma);
        }
    }
    return given;
}

VfioDma* Type1::unchanged(const BitmapCopy& copy) {
    const auto found = dma_list_.overlapping({copy.iova, copy.iova});
    const bool same = dirty_page_tracking_ && found != dma_list_.end() &&
                      found->first == copy.iova && found->second.bitmap_version == copy.version &&
                      found->second.bitmap.pgsize() == pgsize();
    return same ? &found->second : nullptr;
}

// The kernel shifts the mapping's own bitmap, which has a spare word for that, merges the user's
// first word into it, and leaves it so.
void Type1::keep_shift(const BitmapCopy& copy, VfioDma& dma) {
    if (copy.shift != 0) {
        dma.bitmap.replace(copy.words);
        bitmap_changed(dma);
    }
}

// Called after the bits were copied. The kernel clears as many bits as the mapping has pages, but
// from the start of a bitmap that was shifted: the last bits stay, and the next call that shifts
// reports them as dirty pages behind the mapping.
void Type1::forget_dirty(std::uint64_t iova, VfioDma& dma) {
    if (kernel_.fixed(fs::KernelBug::type1_dirty_stale_bits)) {
        dma.bitmap.clear();
    } else {
        dma.bitmap.clear_pages();
    }
    bitmap_changed(dma);
    mark_pinned_dirty(iova, dma);
}

}  // namespace kvmiommu::vfio
