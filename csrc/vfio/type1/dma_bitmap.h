// SPDX-License-Identifier: MIT
//
// The dirty pages of one mapping, a bit each (drivers/vfio/vfio_iommu_type1.c:
// vfio_dma_bitmap_alloc, update_user_bitmap).
//
// A bitmap keeps the page size that it was made for. When the container's smallest page changes, it
// is remade before it is copied. The kernel reads the old bits with the new page size, beyond their
// end if the pages are smaller now; that bug is not copied.

#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/result.h"

namespace kvmiommu::vfio {

class DmaBitmap {
  public:
    /// Bits of a word of the user's bitmap.
    static constexpr std::uint64_t kBits = 64;

    /// The bitmap of a mapping that is not tracked.
    DmaBitmap() = default;
    /// All clean, for `size` bytes in pages of `pgsize`.
    /// EINVAL more than 2^31 - 1 pages
    static Result<DmaBitmap> create(std::uint64_t size, std::uint64_t pgsize);

    std::uint64_t pgsize() const { return pgsize_; }
    /// Whole pages; a rest of the mapping behind them has no bit.
    std::uint64_t pages() const { return pages_; }

    /// Marks the pages of `bytes` bytes from `offset` on; `bytes` is not 0.
    void mark(std::uint64_t offset, std::uint64_t bytes);
    void mark_all();
    /// Clears the bits of all pages, not bits behind the last page that a shift has left.
    void clear_pages();
    /// Clears all bits.
    void clear() { words_.assign(words_.size(), 0); }

    /// Changes the page size: a page is dirty that overlaps a dirty one. The caller has checked
    /// that there are not too many pages.
    void remake(std::uint64_t pgsize);

    /// The words in which the first page has bit `shift`, below kBits, up to that of the last page.
    /// Its remaining bits are those behind the last page.
    std::vector<std::uint64_t> shifted(unsigned shift) const;
    /// Replaces the first words by words of shifted().
    void replace(std::span<const std::uint64_t> words);

  private:
    DmaBitmap(std::uint64_t size, std::uint64_t pgsize);

    std::uint64_t size_ = 0;  // bytes
    std::uint64_t pgsize_ = 0;
    std::uint64_t pages_ = 0;
    std::vector<std::uint64_t> words_;  // with a spare one for a shift
};

}  // namespace kvmiommu::vfio
