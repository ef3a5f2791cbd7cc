// SPDX-License-Identifier: MIT
//
// Random programs of map() and unmap() over domains of every format, with sizes from one page to
// beyond a gigabyte, and with all or some of the page sizes of the format. What a device finds is
// read out of memory by the walker and compared with a list of ranges.

#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/wide.h"
#include "hardware_view.h"
#include "iommu/bare_domain.h"
#include "iommu/iommu.h"
#include "support.h"

namespace kvmiommu::iommu {
namespace {

using test::Machine;
using test::Numbers;
using test::outcome;
using test::value;

constexpr std::uint64_t k1G = std::uint64_t{1} << 30;

// What is mapped: first iova to bytes, address and rights.
struct Mapping {
    std::uint64_t bytes;
    PhysAddr address;
    std::uint32_t rights;
};

/// A domain and the list of what it maps, in a window of 16 GiB or as much as there is.
class Program {
  public:
    Program(Machine& machine, const FormatInfo& format, const BareRequest& request,
            std::uint64_t seed)
        : machine_(machine),
          format_(format),
          request_(request),
          domain_(value(create_bare_domain(machine.memory(), format, request, faults_))),
          numbers_(seed),
          page_(lowest_bit(domain_->pgsize_bitmap())) {
        const Range all = domain_->aperture();
        window_ = std::min(all.last - all.start, 16 * k1G - 1) / 2 + 1;
        window_ = align_down(2 * window_ - page_, page_) + page_;
        // Anywhere, or against either end.
        const std::uint64_t room = all.last - all.start - (window_ - 1);
        const std::uint64_t kind = numbers_.below(3);
        const std::uint64_t offset = kind == 0 ? 0 : kind == 1 ? room : numbers_.next() & room;
        base_ = all.start + align_down(offset, page_);
        // Of sign-extended iovas nothing in the hole in the middle.
        if (all.last - all.start > low_mask(request.bits)) {
            base_ = kind == 1 ? 0 - window_ : 0;
        }
    }

    void step() {
        if (numbers_.below(5) < 3) {
            map_some();
        } else {
            unmap_some();
        }
        look_at_some();
    }

    // Everything, entry by entry, and what the tables take.
    void compare_all() {
        const test::HardwareView hardware(machine_.memory(), format_, request_, *domain_);
        const walker::Tree tree = hardware.read();
        std::uint64_t bytes = 0;
        std::uint64_t wrong = 0;
        for (const auto& [within, page] : tree.pages) {
            const std::uint64_t iova =
                base_ + ((within - base_) & hardware.within(~std::uint64_t{0}));
            const auto mapping = find(iova);
            wrong += mapping == mappings_.end() || !same(mapping, iova, page) ||
                     iova - mapping->first + page.size > mapping->second.bytes ||
                     (page.size & domain_->pgsize_bitmap()) == 0;
            bytes += page.size;
        }
        CHECK(wrong == 0);
        std::uint64_t expected = 0;
        for (const auto& [iova, mapping] : mappings_) {
            expected += mapping.bytes;
        }
        CHECK(bytes == expected);
        CHECK(hardware.table_bytes(tree) == domain_->table_bytes());
    }

    void unmap_all() {
        while (!mappings_.empty()) {
            unmap_one(mappings_.begin());
        }
        compare_all();
    }

  private:
    using Mappings = std::map<std::uint64_t, Mapping>;

    Mappings::const_iterator find(std::uint64_t iova) const {
        const auto after = std::find_if(mappings_.begin(), mappings_.end(), [&](const auto& each) {
            return iova - each.first < each.second.bytes;
        });
        return after;
    }
    bool overlaps(std::uint64_t iova, std::uint64_t bytes) const {
        return std::any_of(mappings_.begin(), mappings_.end(), [&](const auto& each) {
            return iova - each.first < each.second.bytes || each.first - iova < bytes;
        });
    }

    // Powers of two and some pages more or less, aligned or not, so that all sizes of pages meet.
    std::uint64_t any_bytes() {
        const unsigned from = static_cast<unsigned>(std::countr_zero(page_));
        const unsigned to = std::max(31u, from + 2);
        const std::uint64_t bytes = std::uint64_t{1} << (from + numbers_.below(to - from));
        const std::uint64_t more = numbers_.below(3) * page_;
        return std::min(numbers_.below(2) == 0 ? bytes : bytes + more, window_);
    }
    std::uint64_t any_alignment() {
        const std::uint64_t alignment = page_ << numbers_.below(20);
        return std::min(alignment, std::max(k1G, page_));
    }

    void map_some() {
        const std::uint64_t alignment = any_alignment();
        // Not more pages than a few tables hold, of the largest that may do.
        const std::uint64_t largest = highest_bit(domain_->pgsize_bitmap() & up_to(alignment));
        const std::uint64_t bytes = std::min(any_bytes(), 1024 * largest);
        const std::uint64_t offset = align_down(numbers_.below(window_ - bytes + 1), alignment);
        const std::uint64_t iova = base_ + offset;
        const unsigned room = std::min(format_.output_bits, 44u);
        const std::uint64_t high = numbers_.below(std::uint64_t{1} << (room - 1));
        // The same as the iova in some low bits, so that large pages are possible.
        PhysAddr address = align_down(high, alignment) | (iova & (alignment - 1));
        address = align_down(address, page_);
        if (address == 0 || (address + bytes) >> room != 0) {
            return;
        }
        const auto rights = static_cast<std::uint32_t>(1 + numbers_.below(3));
        const auto mapped = map(*domain_, iova, address, bytes, rights, faults_);
        if (overlaps(iova, bytes)) {
            CHECK(outcome(mapped) == "EEXIST");
        } else {
            CHECK(outcome(mapped) == "ok");
            mappings_[iova] = {bytes, address, rights};
        }
    }

    void unmap_some() {
        if (!mappings_.empty()) {
            auto chosen = mappings_.begin();
            std::advance(chosen, numbers_.below(mappings_.size()));
            unmap_one(chosen);
        }
    }
    void unmap_one(Mappings::const_iterator chosen) {
        const auto [iova, mapping] = *chosen;
        CHECK(unmap(*domain_, iova, mapping.bytes, test::no_faults()) == mapping.bytes);
        mappings_.erase(chosen);
        last_gone_ = iova;
    }

    // At the ends of some mapping and beside it, where the last one was, and anywhere.
    void look_at_some() {
        const test::HardwareView hardware(machine_.memory(), format_, request_, *domain_);
        std::vector<std::uint64_t> places{last_gone_, base_ + numbers_.below(window_)};
        if (!mappings_.empty()) {
            auto chosen = mappings_.begin();
            std::advance(chosen, numbers_.below(mappings_.size()));
            const std::uint64_t end = chosen->first + chosen->second.bytes;
            places.insert(places.end(), {chosen->first, chosen->first - 1, end - 1, end,
                                         chosen->first + numbers_.below(chosen->second.bytes)});
        }
        std::uint64_t wrong = 0;
        for (const std::uint64_t iova : places) {
            if (iova - base_ < window_) {
                wrong += !agree(hardware, iova);
            }
        }
        CHECK(wrong == 0);
    }
    bool agree(const test::HardwareView& hardware, std::uint64_t iova) const {
        const auto mapping = find(iova);
        const auto page = hardware.at(iova);
        const auto found = domain_->translate(iova);
        if (mapping == mappings_.end()) {
            return !page && !found && domain_->iova_to_phys(iova) == 0;
        }
        const PhysAddr address = mapping->second.address + (iova - mapping->first);
        return page && found && found->address == address &&
               domain_->iova_to_phys(iova) == address &&
               found->leaf == Range{iova & -page->size, iova | (page->size - 1)} &&
               same(mapping, align_down(iova, page->size), *page) &&
               found->protection ==
                   ((page->readable ? +kRead : 0) | (page->writable ? +kWrite : 0));
    }
    // Formats without a bit for it let everything be read.
    bool same(Mappings::const_iterator mapping, std::uint64_t iova,
              const walker::Page& page) const {
        const std::uint32_t rights = mapping->second.rights;
        return page.address == mapping->second.address + (iova - mapping->first) &&
               page.writable == ((rights & kWrite) != 0) &&
               (page.readable || (rights & kRead) == 0);
    }

    Machine& machine_;
    const FormatInfo& format_;
    const BareRequest request_;
    FaultPoints faults_;
    const std::unique_ptr<Domain> domain_;
    Numbers numbers_;
    const std::uint64_t page_;
    std::uint64_t window_ = 0;
    std::uint64_t base_ = 0;
    std::uint64_t last_gone_ = 0;
    Mappings mappings_;
};

void run_with_rows_in_use(const FormatInfo& format, const BareRequest& request,
                          std::uint64_t seed) {
    CAPTURE(std::string(format.name));
    CAPTURE(request.bits);
    CAPTURE(request.page_sizes);
    CAPTURE(seed);
    Machine machine({.start = k1G});
    Program program(machine, format, request, seed);
    for (int step = 1; step <= 120; ++step) {
        program.step();
        if (step % 40 == 0) {
            program.compare_all();
        }
    }
    program.unmap_all();
}

// With each kind of rows that this processor runs.
void run(const FormatInfo& format, const BareRequest& request, std::uint64_t seed) {
    const wide::Kind before = wide::in_use();
    for (const wide::Kind& kind : wide::kinds()) {
        CAPTURE(std::string(kind.name));
        wide::use(kind);
        run_with_rows_in_use(format, request, seed);
    }
    wide::use(before);
}

TEST_CASE("whatever is mapped and unmapped, in any format, a device finds what a list says") {
    for (const FormatInfo& format : formats()) {
        Numbers numbers(format.output_bits);
        for (std::uint64_t seed = 0; seed < 5; ++seed) {
            // All page sizes, and some of them.
            BareRequest request{.page_sizes = format.page_sizes, .bits = format.default_bits};
            const std::uint64_t chosen = numbers.next();
            if (format.one_page_size) {
                request.page_sizes = std::uint64_t{1} << std::array{12, 16, 21, 24, 30}[seed % 5];
                // The larger the page the fewer: all bits of the levels together are 64 at most.
                request.levels = 5 - static_cast<unsigned>(seed % 5);
                if (request.levels == 1) {
                    request.bits = 44;
                }
            } else if (seed % 2 != 0) {
                request.page_sizes &= chosen | lowest_bit(format.page_sizes);
            }
            run(format, request, seed);
        }
    }
}

TEST_CASE("and with every width of an iova that a format has") {
    for (const FormatInfo& format : formats()) {
        for (unsigned bits = 32; bits <= 64; ++bits) {
            const bool possible = (format.iova_bits >> bits % 64 & 1) != 0;
            // Every eighth of many, and those that stand alone.
            if (possible && (bits % 8 == 0 || std::popcount(format.iova_bits) < 4)) {
                const std::uint64_t sizes =
                    format.one_page_size ? lowest_bit(format.page_sizes) : format.page_sizes;
                run(format, {.page_sizes = sizes & low_mask(bits), .bits = bits}, bits);
            }
        }
    }
}

TEST_CASE("a window whose upper tables would stand for more than all iovas: EINVAL") {
    Machine machine;
    FaultPoints faults;
    const FormatInfo& tce = *find_format("tce");
    const auto asked = [&](std::uint64_t page_size, unsigned levels) {
        return outcome(create_bare_domain(machine.memory(), tce,
                                          {.page_sizes = page_size, .bits = 36, .levels = levels},
                                          faults));
    };
    // An entry of the fifth level: 2^(30 + 4 * 9).
    CHECK(asked(k1G, 5) == "EINVAL");
    CHECK(asked(k1G, 4) == "ok");
    CHECK(asked(std::uint64_t{1} << 24, 5) == "ok");
    CHECK(machine.memory().used_frames() == 0);
}

}  // namespace
}  // namespace kvmiommu::iommu
