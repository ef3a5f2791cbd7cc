// SPDX-License-Identifier: MIT

#include "vfio/type1/dma_bitmap.h"

#include <set>
#include <vector>

#include "support.h"

namespace kvmiommu::vfio {
namespace {

using test::Numbers;
using test::outcome;
using test::value;

constexpr std::uint64_t k4K = 4096;
constexpr std::uint64_t k64K = 65536;

std::set<std::uint64_t> bits_of(const std::vector<std::uint64_t>& words, unsigned shift = 0) {
    std::set<std::uint64_t> bits;
    for (std::uint64_t bit = 0; bit < words.size() * 64; ++bit) {
        if ((words[bit / 64] >> bit % 64 & 1) != 0) {
            bits.insert(bit - shift);
        }
    }
    return bits;
}

TEST_CASE("a mapping of more than 2^31 - 1 pages cannot be tracked") {
    CHECK(outcome(DmaBitmap::create(std::uint64_t{0x80000000} * k4K, k4K)) == "EINVAL");
}

TEST_CASE("bits of bytes that were marked are those of their pages, wherever they are shifted") {
    Numbers numbers(3);
    for (int program = 0; program < 200; ++program) {
        const std::uint64_t pages = 1 + numbers.below(300);
        DmaBitmap bitmap = value(DmaBitmap::create(pages * k4K, k4K));
        std::set<std::uint64_t> model;
        for (int step = 0; step < 5; ++step) {
            const std::uint64_t offset = numbers.below(pages * k4K);
            const std::uint64_t bytes = 1 + numbers.below(pages * k4K - offset);
            bitmap.mark(offset, bytes);
            for (std::uint64_t page = offset / k4K; page <= (offset + bytes - 1) / k4K; ++page) {
                model.insert(page);
            }
            const auto shift = static_cast<unsigned>(numbers.below(64));
            const auto words = bitmap.shifted(shift);
            CHECK(words.size() == (shift + pages + 63) / 64);
            CHECK(bits_of(words, shift) == model);
        }
        bitmap.mark_all();
        CHECK(bits_of(bitmap.shifted(0)).size() == pages);
        bitmap.clear_pages();
        CHECK(bits_of(bitmap.shifted(0)).empty());
    }
}

TEST_CASE("remade for smaller pages, all of a dirty page are dirty; for larger ones, all of it") {
    DmaBitmap bitmap = value(DmaBitmap::create(4 * k64K, k64K));
    bitmap.mark(2 * k64K + 100, 1);
    bitmap.remake(k4K);
    CHECK(bitmap.pgsize() == k4K);
    CHECK(bitmap.pages() == 64);
    auto bits = bits_of(bitmap.shifted(63));
    CHECK(bits.size() == 16);
    CHECK(*bits.begin() == 63 + 32);
    bitmap.clear_pages();
    bitmap.mark(3 * k64K - 1, 1);
    bitmap.remake(k64K);
    CHECK(bits_of(bitmap.shifted(0)) == std::set<std::uint64_t>{2});
}

TEST_CASE("a page that is larger than its mapping has no bit that is shown") {
    DmaBitmap bitmap = value(DmaBitmap::create(k64K, 2 * k64K));
    CHECK(bitmap.pages() == 0);
    bitmap.mark(0, k64K);
    bitmap.mark_all();
    CHECK(bitmap.shifted(0).empty());
    bitmap.remake(k64K);
    CHECK(bitmap.pages() == 1);
}

TEST_CASE("a shift that is kept leaves bits behind the last page, which only clear() clears") {
    DmaBitmap bitmap = value(DmaBitmap::create(2 * k4K, k4K));
    bitmap.mark_all();
    bitmap.replace(bitmap.shifted(5));
    bitmap.clear_pages();
    CHECK(bits_of(bitmap.shifted(0)) == std::set<std::uint64_t>{5, 6});
    bitmap.clear();
    CHECK(bits_of(bitmap.shifted(0)).empty());
}

}  // namespace
}  // namespace kvmiommu::vfio
