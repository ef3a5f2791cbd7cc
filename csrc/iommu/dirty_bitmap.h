// SPDX-License-Identifier: MIT
//
// Which pages have been written to, a bit each (include/linux/iommu.h: iommu_dirty_bitmap).

#pragma once

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <span>

#include "base/base.h"

namespace kvmiommu::iommu {

class DirtyBitmap {
  public:
    /// Bit 0 of the first word is the page at `iova`; a page has `page_size` bytes, a power of two.
    DirtyBitmap(std::uint64_t iova, std::uint64_t page_size, std::span<std::uint64_t> words)
        : iova_(iova),
          page_shift_(static_cast<unsigned>(std::countr_zero(page_size))),
          words_(words) {}

    /// Sets the bits of all pages that [iova, iova + bytes) meets; pages without a bit are left
    /// out.
    void record(std::uint64_t iova, std::uint64_t bytes) {
        const std::uint64_t last = iova + (bytes - 1);
        if (words_.empty() || last < iova_) {
            return;
        }
        const std::uint64_t from = iova < iova_ ? 0 : (iova - iova_) >> page_shift_;
        const std::uint64_t to =
            std::min<std::uint64_t>((last - iova_) >> page_shift_, words_.size() * 64 - 1);
        for (std::uint64_t bit = from; bit <= to;) {
            const std::uint64_t end = std::min(bit | 63, to);
            words_[bit / 64] |= low_mask(static_cast<unsigned>(end - bit) + 1) << bit % 64;
            bit = end + 1;
        }
    }

  private:
    const std::uint64_t iova_;
    const unsigned page_shift_;
    const std::span<std::uint64_t> words_;
};

}  // namespace kvmiommu::iommu
