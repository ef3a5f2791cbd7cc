// SPDX-License-Identifier: MIT

#include "vfio/type1/dma_bitmap.h"

#include <algorithm>
#include <cassert>
#include <utility>

#include "base/bits.h"

namespace kvmiommu::vfio {

namespace {

constexpr Source kAllocate{"drivers/vfio/vfio_iommu_type1.c: vfio_dma_bitmap_alloc"};
constexpr std::uint64_t kMostPages = 0x7fffffff;

std::uint64_t words_for(std::uint64_t bits) {
    return (bits + DmaBitmap::kBits - 1) / DmaBitmap::kBits;
}

}  // namespace

DmaBitmap::DmaBitmap(std::uint64_t size, std::uint64_t pgsize)
    : size_(size), pgsize_(pgsize), pages_(size / pgsize), words_(words_for(pages_) + 1) {}

Result<DmaBitmap> DmaBitmap::create(std::uint64_t size, std::uint64_t pgsize) {
    if (size / pgsize > kMostPages) {
        return refuse(EINVAL, "a mapping of {} pages is too large to track", kAllocate,
                      size / pgsize);
    }
    return DmaBitmap(size, pgsize);
}

void DmaBitmap::mark(std::uint64_t offset, std::uint64_t bytes) {
    if (pgsize_ == 0) {
        return;
    }
    const std::uint64_t last =
        std::min((offset + (bytes - 1)) / pgsize_, words_.size() * kBits - 1);
    for (std::uint64_t page = offset / pgsize_; page <= last; ++page) {
        words_[page / kBits] |= std::uint64_t{1} << page % kBits;
    }
}

void DmaBitmap::mark_all() {
    const std::uint64_t whole = pages_ / kBits;
    std::fill_n(words_.begin(), whole, ~std::uint64_t{0});
    if (pages_ % kBits != 0) {
        words_[whole] |= low_mask(static_cast<unsigned>(pages_ % kBits));
    }
}

void DmaBitmap::clear_pages() {
    const std::uint64_t whole = pages_ / kBits;
    std::fill_n(words_.begin(), whole, 0);
    if (pages_ % kBits != 0) {
        words_[whole] &= ~low_mask(static_cast<unsigned>(pages_ % kBits));
    }
}

void DmaBitmap::remake(std::uint64_t pgsize) {
    DmaBitmap remade(size_, pgsize);
    for (std::uint64_t page = 0; page < pages_; ++page) {
        const std::uint64_t word = words_[page / kBits];
        if (word == 0) {
            page |= kBits - 1;  // on to the next word
        } else if ((word >> page % kBits & 1) != 0) {
            remade.mark(page * pgsize_, pgsize_);
        }
    }
    *this = std::move(remade);
}

std::vector<std::uint64_t> DmaBitmap::shifted(unsigned shift) const {
    assert(shift < kBits);
    std::vector<std::uint64_t> words(words_for(shift + pages_));
    for (std::uint64_t i = 0; i < words.size(); ++i) {
        words[i] = words_[i] << shift;
        if (shift != 0 && i != 0) {
            words[i] |= words_[i - 1] >> (kBits - shift);
        }
    }
    return words;
}

void DmaBitmap::replace(std::span<const std::uint64_t> words) {
    assert(words.size() <= words_.size());
    std::copy(words.begin(), words.end(), words_.begin());
}

}  // namespace kvmiommu::vfio
