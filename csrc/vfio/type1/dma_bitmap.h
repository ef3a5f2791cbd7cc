// SPDX-License-Identifier: MIT
//
// The dirty pages of one mapping, a bit each (drivers/vfio/vfio_iommu_type1.c:
// vfio_dma_bitmap_alloc, update_user_bitmap).
//
// A bitmap counts in the pages that it was made for. When the container's smallest page changes,
// its bits are remade before they are shown: the kernel reads the old ones with the new page size,
// beyond their end when the pages have become smaller.

#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/result.h"

namespace kvmiommu::vfio {

class DmaBitmap {
  public:
    /// A user's word has as many bits.
    static constexpr std::uint64_t kBits = 64;

    /// Of a mapping that is not tracked.
    DmaBitmap() = default;
    /// All clean, for `size` bytes in pages of `pgsize`.
    /// EINVAL more than 2^31 - 1 pages
    static Result<DmaBitmap> create(std::uint64_t size, std::uint64_t pgsize);

    std::uint64_t pgsize() const { return pgsize_; }
    /// Whole pages; what is left of a mapping behind them has no bit.
    std::uint64_t pages() const { return pages_; }

    /// Marks the pages that `bytes` bytes, not none, from `offset` on touch.
    void mark(std::uint64_t offset, std::uint64_t bytes);
    void mark_all();
    /// Clears the bits of all pages. Bits behind the last one, which a shift has left, stay.
    void clear_pages();
    /// Clears those too.
    void clear() { words_.assign(words_.size(), 0); }

    /// Counts in pages of `pgsize` from now on: a page is dirty that has something of a dirty one.
    /// The caller knows that there are not too many.
    void remake(std::uint64_t pgsize);

    /// The words in which the first page has bit `shift`, below kBits: as many as the last page
    /// needs. The spare bits of the last one are what stands behind the last page.
    std::vector<std::uint64_t> shifted(unsigned shift) const;
    /// Puts words that shifted() returned in the place of the first ones.
    void replace(std::span<const std::uint64_t> words);

  private:
    DmaBitmap(std::uint64_t size, std::uint64_t pgsize);

    std::uint64_t size_ = 0;  // bytes
    std::uint64_t pgsize_ = 0;
    std::uint64_t pages_ = 0;
    std::vector<std::uint64_t> words_;  // and one to spare, into which a shift may run
};

}  // namespace kvmiommu::vfio
