// SPDX-License-Identifier: MIT
//
// VFIO_IOMMU_DIRTY_PAGES: which pages a device may have written. No IOMMU of a container says, so
// every page that is mapped for one counts as dirty; of devices without one it is known.

#include <algorithm>
#include <bit>

#include "vfio/type1.h"

namespace kvmiommu::vfio {

namespace {

constexpr Source kDirtyPages{"drivers/vfio/vfio_iommu_type1.c: vfio_iommu_type1_dirty_pages"};
constexpr Source kVerify{"drivers/vfio/vfio_iommu_type1.c: verify_bitmap_size"};
constexpr Source kAllocate{"drivers/vfio/vfio_iommu_type1.c: vfio_dma_bitmap_alloc"};
constexpr Source kGetBitmap{"drivers/vfio/vfio_iommu_type1.c: vfio_iova_dirty_bitmap"};

constexpr std::uint64_t kMostPages = 0x7fffffff;
constexpr std::uint64_t kLargestBitmap = std::uint64_t{1} << 28;
constexpr std::uint64_t kBits = 64;

std::uint64_t words_for(std::uint64_t bits) {
    return (bits + kBits - 1) / kBits;
}

// Sets or clears the first `bits` bits.
void set_bits(std::vector<std::uint64_t>& bitmap, std::uint64_t bits, bool value) {
    const std::uint64_t whole = bits / kBits;
    std::fill_n(bitmap.begin(), whole, value ? ~std::uint64_t{0} : 0);
    if (bits % kBits != 0) {
        const std::uint64_t mask = low_mask(static_cast<unsigned>(bits % kBits));
        bitmap[whole] = value ? bitmap[whole] | mask : bitmap[whole] & ~mask;
    }
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
    // A page size of 0 is caught later: the shift it gives changes nothing here.
    const std::uint64_t pages = bitmap.pgsize == 0 ? size : size >> std::countr_zero(bitmap.pgsize);
    if (pages == 0 || bitmap.size == 0 || bitmap.size > kLargestBitmap ||
        bitmap.size < words_for(pages) * sizeof(std::uint64_t)) {
        return refuse(EINVAL, "a bitmap of {:x} bytes for {} pages of {:x} bytes", kVerify,
                      bitmap.size, pages, bitmap.pgsize);
    }
    return {};
}

Result<> Type1::start_dirty_tracking() {
    if (tracks_dirty_) {
        return {};
    }
    for (auto& [iova, mapping] : mappings_) {
        if (auto begun = begin_tracking(mapping); !begun) {
            stop_dirty_tracking();
            return begun;
        }
    }
    for (auto& [iova, mapping] : mappings_) {
        mark_pinned_dirty(iova, mapping);
    }
    tracks_dirty_ = true;
    return {};
}

void Type1::stop_dirty_tracking() {
    tracks_dirty_ = false;
    for (auto& [iova, mapping] : mappings_) {
        mapping.dirty = {};
    }
}

Result<> Type1::begin_tracking(Mapping& mapping) {
    const std::uint64_t pages = mapping.size / granule();
    if (pages > kMostPages) {
        return refuse(EINVAL, "a mapping of {} pages is too large to track", kAllocate, pages);
    }
    mapping.dirty.assign(words_for(pages) + 1, 0);
    return {};
}

Result<std::int64_t> Type1::get_dirty_bitmap(fs::Task& task,
                                             const uapi::vfio_iommu_type1_dirty_bitmap_get& get) {
    if (get.iova + get.size < get.iova) {
        return refuse(EINVAL, "{:x} bytes from {:x} wrap", kDirtyPages, get.size, get.iova);
    }
    TRY(check_bitmap(get.bitmap, get.size));
    const Lock lock(mutex_);
    if (get.bitmap.pgsize != granule() || get.size == 0 ||
        !is_aligned(get.iova | get.size, granule())) {
        return refuse(EINVAL, "{:x} bytes from {:x} in pages of {:x}: must be pages of {:x}",
                      kDirtyPages, get.size, get.iova, get.bitmap.pgsize, granule());
    }
    if (!tracks_dirty_) {
        return refuse(EINVAL, "dirty pages are not tracked", kDirtyPages);
    }
    if (cuts_a_mapping(get.iova, get.size)) {
        return refuse(EINVAL, "{:x} bytes from {:x} would cut a mapping", kGetBitmap, get.size,
                      get.iova);
    }
    for (auto at = mappings_.first_behind(get.iova);
         at != mappings_.end() && at->first <= get.iova + get.size - 1; ++at) {
        TRY(give_dirty_bitmap(task, at->first, at->second, get.iova, get.bitmap.data));
        forget_dirty(at->second);
        mark_pinned_dirty(at->first, at->second);
    }
    return 0;
}

void Type1::mark_dirty(std::uint64_t offset, std::uint64_t bytes, Mapping& mapping) {
    for (std::uint64_t page = offset / granule(); page <= (offset + bytes - 1) / granule();
         ++page) {
        mapping.dirty[page / kBits] |= std::uint64_t{1} << page % kBits;
    }
}

// Pages that drivers have pinned may be written at any time: they stay dirty.
void Type1::mark_pinned_dirty(std::uint64_t iova, Mapping& mapping) {
    for (const auto& [page, pinned] : mapping.pinned_by_drivers) {
        mark_dirty(page - iova, page_size(), mapping);
    }
}

void Type1::mark_all_dirty() {
    for (auto& [iova, mapping] : mappings_) {
        set_bits(mapping.dirty, mapping.size / granule(), true);
    }
}

// Writes a mapping's bits where they belong in a bitmap that begins at iova `base`: whole words, so
// that bits behind the mapping in its last word are written too, and bits of the user's first word
// are kept.
Result<> Type1::give_dirty_bitmap(fs::Task& task, std::uint64_t iova, Mapping& mapping,
                                  std::uint64_t base, std::uint64_t user_bitmap) {
    const std::uint64_t pages = mapping.size / granule();
    const std::uint64_t first_bit = (iova - base) / granule();
    const auto shift = static_cast<unsigned>(first_bit % kBits);
    const mm::UserPtr<std::uint64_t> to(user_bitmap + first_bit / kBits * sizeof(std::uint64_t));
    if (mapping.iommu_mapped) {
        set_bits(mapping.dirty, pages, true);
    }
    // The shift is done in the mapping's own bitmap, which has a word to spare for it.
    const std::uint64_t words = words_for(shift + pages);
    if (shift != 0) {
        for (std::uint64_t i = words; i-- != 0;) {
            const std::uint64_t lower = i == 0 ? 0 : mapping.dirty[i - 1] >> (kBits - shift);
            mapping.dirty[i] = mapping.dirty[i] << shift | lower;
        }
        mapping.dirty[0] |= TRY(to.read(task.mm()));
    }
    return task.mm().copy_out(to.address(), mapping.dirty.data(), words * sizeof(std::uint64_t));
}

// After its bits have been given. The kernel clears as many bits as the mapping has pages from the
// start, though they were shifted: the last ones stay and are given, as dirty pages that are not
// the mapping's, by the next call that shifts.
void Type1::forget_dirty(Mapping& mapping) {
    if (kernel_.fixed(fs::KernelBug::type1_dirty_stale_bits)) {
        std::fill(mapping.dirty.begin(), mapping.dirty.end(), 0);
    } else {
        set_bits(mapping.dirty, mapping.size / granule(), false);
    }
}

}  // namespace kvmiommu::vfio
