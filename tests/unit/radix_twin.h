// SPDX-License-Identifier: MIT
//
// A tree of tables beside a list of pages that is too simple to be wrong, and random calls for
// both. What the tree says is what a walker reads in it that knows only the specification.

#pragma once

#include <algorithm>
#include <cstdint>
#include <functional>
#include <map>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "iommu/pgtable/radix.h"
#include "support.h"
#include "walker/walker.h"

namespace kvmiommu::iommu::pgtable::twin {

using test::Machine;
using test::Numbers;
using test::value;

inline constexpr std::uint64_t k4K = std::uint64_t{4} << 10;
inline constexpr std::uint64_t k16K = std::uint64_t{16} << 10;
inline constexpr std::uint64_t k64K = std::uint64_t{64} << 10;
inline constexpr std::uint64_t k1M = std::uint64_t{1} << 20;
inline constexpr std::uint64_t k2M = std::uint64_t{2} << 20;
inline constexpr std::uint64_t k32M = std::uint64_t{32} << 20;
inline constexpr std::uint64_t k1G = std::uint64_t{1} << 30;
inline constexpr std::uint64_t k512G = std::uint64_t{1} << 39;
inline constexpr std::uint32_t kBoth = kRead | kWrite;

inline std::string refusal_of(const Mapped& mapped) {
    return mapped.refusal ? errno_name(mapped.refusal->error()) : "ok";
}

// The pages that are mapped: first iova to size and address.
struct Page {
    std::uint64_t size;
    PhysAddr address;
    std::uint32_t protection = kBoth;
};
using Pages = std::map<std::uint64_t, Page>;

inline Pages::const_iterator page_at(const Pages& pages, std::uint64_t iova) {
    auto at = pages.upper_bound(iova);
    if (at == pages.begin()) {
        return pages.end();
    }
    --at;
    return iova - at->first < at->second.size ? at : pages.end();
}

inline bool overlaps(const Pages& pages, std::uint64_t iova, std::uint64_t size) {
    const auto behind = pages.lower_bound(iova);
    return page_at(pages, iova) != pages.end() ||
           (behind != pages.end() && behind->first - iova < size);
}

// How hardware reads a tree of so many levels, and whether it can read whatever is there.
struct Hardware {
    std::function<walker::Format(unsigned levels)> format;
    bool all_readable = false;
};

// A table and its twin, and random calls for both in a window of iovas.
template <Format F>
class Pair {
  public:
    Pair(Machine& machine, const Shape<F>& shape, std::uint64_t base,
         std::vector<std::uint64_t> sizes, std::uint64_t seed, Hardware hardware)
        : memory_(machine.memory()),
          hardware_(std::move(hardware)),
          table_(value(RadixTable<F>::create(machine.memory(), shape, faults_))),
          base_(base),
          sizes_(std::move(sizes)),
          numbers_(seed) {}

    void step() {
        const std::uint64_t kind = numbers_.below(8);
        if (kind < 4) {
            map_some();
        } else if (kind < 7) {
            unmap_mapped();
        } else {
            unmap_anything();
        }
        compare();
        if (++steps_ % 8 == 0) {
            compare_with_hardware();
        }
    }
    void unmap_all() {
        while (!pages_.empty()) {
            const auto [iova, page] = *pages_.begin();
            CHECK(table_.unmap_pages(iova, page.size, 1, test::no_faults()) == page.size);
            pages_.erase(iova);
        }
        compare();
        compare_with_hardware();
    }

  private:
    std::uint64_t any_iova(std::uint64_t alignment) {
        return base_ + align_down(numbers_.below(window_), alignment);
    }
    std::uint64_t any_size() { return sizes_[numbers_.below(sizes_.size())]; }

    void map_some() {
        const std::uint64_t size = any_size();
        const std::uint64_t iova = any_iova(size);
        const std::uint64_t room = (window_ - (iova - base_)) / size;
        const std::uint64_t count = 1 + numbers_.below(std::min<std::uint64_t>(room, 700));
        const PhysAddr address =
            align_down(numbers_.below(std::uint64_t{1} << std::min(F::kOutputBits - 1, 45u)),
                       size) +
            size;
        const auto protection = static_cast<std::uint32_t>(1 + numbers_.below(3));
        const Mapped mapped = table_.map_pages(iova, address, size, count, protection, {}, faults_);
        std::uint64_t done = 0;
        while (done < size * count && !overlaps(pages_, iova + done, size)) {
            pages_[iova + done] = {size, address + done, protection};
            done += size;
        }
        CHECK(mapped.bytes == done);
        CHECK(refusal_of(mapped) == (done == size * count ? "ok" : "EEXIST"));
    }

    // A range without holes, of which either end may lie within a page.
    void unmap_mapped() {
        if (pages_.empty()) {
            return;
        }
        auto at = page_at(pages_, any_iova(unit_));
        if (at == pages_.end()) {
            at = pages_.begin();
        }
        const std::uint64_t within = align_down(numbers_.below(at->second.size), unit_);
        const std::uint64_t iova = at->first + within;
        std::uint64_t end = at->first + at->second.size;
        std::uint64_t gone = at->second.size;
        std::vector<std::uint64_t> leaving{at->first};
        const std::uint64_t most = numbers_.below(600);
        for (++at; at != pages_.end() && at->first == end && leaving.size() < most; ++at) {
            leaving.push_back(at->first);
            end += at->second.size;
            gone += at->second.size;
        }
        // The last page goes whole, wherever in it the range ends.
        const std::uint64_t last = leaving.back();
        const std::uint64_t least = std::max(last, iova) + unit_ - iova;
        const std::uint64_t bytes =
            least + align_down(numbers_.below(end - iova - least + 1), unit_);
        // What the first page counts too much must not make the walk stop before the last.
        if (bytes > gone - pages_[last].size || leaving.size() == 1) {
            CHECK(table_.unmap_pages(iova, unit_, bytes / unit_, test::no_faults()) == gone);
            for (const std::uint64_t each : leaving) {
                pages_.erase(each);
            }
        }
    }

    // Holes may end the walk or, in a table that is covered, be passed: then what went is the
    // front part of the pages in the range.
    void unmap_anything() {
        const std::uint64_t iova = any_iova(unit_);
        const std::uint64_t most = (window_ - (iova - base_)) / unit_;
        const std::uint64_t bytes = (1 + numbers_.below(most)) * unit_;
        const std::uint64_t gone =
            table_.unmap_pages(iova, unit_, bytes / unit_, test::no_faults());
        std::uint64_t counted = 0;
        bool stopped = false;
        auto at = page_at(pages_, iova);
        if (at == pages_.end()) {
            at = pages_.lower_bound(iova);
        }
        while (at != pages_.end() && (at->first < iova || at->first - iova < bytes)) {
            if (table_.iova_to_phys(at->first) != 0) {
                stopped = true;
                ++at;
                continue;
            }
            CHECK_FALSE(stopped);
            counted += at->second.size;
            at = pages_.erase(at);
        }
        CHECK(counted <= gone);
        if (stopped) {
            CHECK(gone < bytes + sizes_.back());
        }
    }

    void compare() {
        std::uint64_t wrong = 0;
        for (std::uint64_t at = 0; at < window_; at += unit_) {
            const auto page = page_at(pages_, base_ + at);
            const PhysAddr expected =
                page == pages_.end() ? 0 : page->second.address + (base_ + at - page->first) + 5;
            wrong += table_.iova_to_phys(base_ + at + 5) != expected;
        }
        CHECK(wrong == 0);
    }

    // The same pages, with the same rights, in the tables that are in use and in no others.
    void compare_with_hardware() {
        const auto top = table_.top();
        const auto read = [this](std::uint64_t address, std::size_t bytes) {
            std::vector<std::uint8_t> found(bytes);
            REQUIRE(memory_.read(address, std::as_writable_bytes(std::span(found))));
            return found;
        };
        const walker::Format format = hardware_.format(top.levels);
        const walker::Level& first = format.levels.front();
        // Bits that all iovas of the tree have in common are not in it.
        const std::uint64_t within = low_mask(first.shift + first.index_bits);
        const walker::Tree tree = walker::Reader(format, read).read(top.root);
        std::uint64_t bytes = 0;
        for (const std::uint64_t table : tree.tables) {
            const std::size_t level = table == top.root ? 0 : 1;
            const std::size_t last = std::min(level, format.levels.size() - 1);
            bytes += std::max<std::uint64_t>(
                std::uint64_t{format.entry_bytes} << format.levels[last].index_bits, 4096);
        }
        CHECK(bytes == table_.table_bytes());
        CHECK(tree.pages.size() == pages_.size());
        std::uint64_t wrong = 0;
        for (const auto& [iova, page] : pages_) {
            const auto found = tree.pages.find(iova & within);
            const bool readable = hardware_.all_readable || (page.protection & kRead) != 0;
            const bool writable = (page.protection & kWrite) != 0;
            wrong += found == tree.pages.end() || found->second.address != page.address ||
                     found->second.size != page.size || found->second.readable != readable ||
                     found->second.writable != writable;
        }
        CHECK(wrong == 0);
    }

    FaultPoints faults_;
    mm::PhysicalMemory& memory_;
    const Hardware hardware_;
    RadixTable<F> table_;
    const std::uint64_t base_;
    const std::vector<std::uint64_t> sizes_;
    const std::uint64_t unit_ = sizes_.front();
    const std::uint64_t window_ = 4096 * unit_;
    Numbers numbers_;
    Pages pages_;
    unsigned steps_ = 0;
};

/// Some hundred calls in each of some windows, and then everything unmapped.
template <Format F>
void agree_on_random_calls(const Hardware& hardware, const Shape<F>& shape,
                           const std::vector<std::uint64_t>& bases,
                           const std::vector<std::uint64_t>& sizes, std::uint64_t seed,
                           const test::MachineSettings& settings = {}) {
    for (const std::uint64_t base : bases) {
        CAPTURE(base);
        Machine machine(settings);
        Pair<F> pair(machine, shape, base, sizes, base + seed, hardware);
        for (int step = 0; step < 200; ++step) {
            pair.step();
        }
        pair.unmap_all();
    }
}

}  // namespace kvmiommu::iommu::pgtable::twin
