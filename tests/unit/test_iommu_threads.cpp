// SPDX-License-Identifier: MIT
//
// Four threads that map, unmap and walk ranges of their own in one table without a lock, and a
// device that walks all of them meanwhile, for every format. Under ThreadSanitizer this is what
// shows that no lock is missing.

#include <algorithm>
#include <atomic>
#include <barrier>
#include <bit>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "hardware_view.h"
#include "iommu/bare_domain.h"
#include "iommu/iommu.h"
#include "support.h"

namespace kvmiommu::iommu {
namespace {

using test::Machine;
using test::value;

constexpr std::uint64_t k1G = std::uint64_t{1} << 30;
constexpr std::uint64_t kThreads = 4;
constexpr std::uint64_t kRounds = 6;
// Pages of sixteen entries are the largest runs that most formats with runs have.
constexpr std::uint64_t kSlotPages = 16;
constexpr std::uint64_t kSlots = 6;

BareRequest request_for(const FormatInfo& format) {
    BareRequest request{.bits = format.default_bits, .dirty_tracking = format.can_track_dirty};
    request.page_sizes = format.one_page_size ? lowest_bit(format.page_sizes) : format.page_sizes;
    return request;
}

/// One domain and who is at work in it. The space of iovas is cut into sixteen parts. In the first
/// each thread has tables of its own, which come and go beside those of the others. The others are
/// one for each round: there the threads' pages lie next to each other, and all tables are new, so
/// that every one of them is put in by whoever comes first.
class Traffic {
  public:
    Traffic(Machine& machine, const FormatInfo& format)
        : memory_(machine.memory()),
          format_(format),
          request_(request_for(format)),
          domain_(value(create_bare_domain(memory_, format, request_, faults_))),
          start_(domain_->aperture().start),
          // Of sign-extended iovas the lower half.
          part_bits_(
              std::bit_width(std::min(domain_->aperture().last - start_, low_mask(request_.bits))) -
              (domain_->aperture().last - start_ > low_mask(request_.bits) ? 5 : 4)),
          small_(lowest_bit(domain_->pgsize_bitmap())),
          slot_(kSlotPages * small_) {
        const auto levels =
            test::hardware_format(format.name, levels_now(), request_.bits, page_shift()).levels;
        REQUIRE(levels.size() >= 2);
        table_span_ = std::uint64_t{1} << levels[levels.size() - 2].shift;
        if (levels.size() > 2 && levels[levels.size() - 3].shift + 3 <= part_bits_) {
            upper_span_ = std::uint64_t{1} << levels[levels.size() - 3].shift;
        }
        if (format.can_track_dirty) {
            value(domain_->set_dirty_tracking(true));
        }
        REQUIRE(map_one(faults_, stable(), small_, 0));
    }

    void run() {
        std::vector<std::thread> threads;
        for (std::uint64_t self = 0; self < kThreads; ++self) {
            threads.emplace_back([this, self] { work(self); });
        }
        std::thread device([this] {
            // Once at least after all has been mapped.
            for (bool last = false; !last;) {
                last = done_.load(std::memory_order_acquire);
                walk_as_device();
            }
        });
        for (std::thread& thread : threads) {
            thread.join();
        }
        done_.store(true, std::memory_order_release);
        device.join();
        CHECK(wrong_ == 0);
    }

    /// What must be left: the page that nobody touched, and those of every other round.
    void compare_with_hardware() {
        const test::HardwareView hardware(memory_, format_, request_, *domain_);
        const walker::Tree tree = hardware.read();
        std::uint64_t bytes = 0;
        std::uint64_t wrong = 0;
        for (const auto& [within, page] : tree.pages) {
            const std::uint64_t iova = start_ + within;
            const bool writable = (rights_of(iova) & kWrite) != 0;
            wrong +=
                page.address != address_of(iova) || !page.readable || page.writable != writable;
            bytes += page.size;
        }
        CHECK(wrong == 0);
        CHECK(bytes == small_ + kRounds / 2 * kThreads * kSlots * slot_);
        CHECK(tree.pages.contains(hardware.within(stable())));
        CHECK(hardware.table_bytes(tree) == domain_->table_bytes());
    }

    /// Each round's part goes whole. What is left is the way to the page that nobody touched.
    void unmap_rounds() {
        for (std::uint64_t round = 0; round < kRounds; ++round) {
            unmap(*domain_, part(round), std::uint64_t{1} << part_bits_, test::no_faults());
        }
        const test::HardwareView hardware(memory_, format_, request_, *domain_);
        const walker::Tree tree = hardware.read();
        CHECK(tree.pages.size() == 1);
        CHECK(tree.tables.size() == hardware.levels());
        CHECK(hardware.table_bytes(tree) == domain_->table_bytes());
    }

  private:
    unsigned page_shift() const {
        return static_cast<unsigned>(std::countr_zero(request_.page_sizes));
    }
    unsigned levels_now() const { return domain_->walk(start_).at(0).level + 1; }

    // --- where things are ---

    std::uint64_t stable() const { return start_ + small_; }
    std::uint64_t block_of(std::uint64_t self) const { return start_ + (1 + self) * table_span_; }
    std::uint64_t tree_of(std::uint64_t self) const { return start_ + (1 + self) * upper_span_; }
    std::uint64_t part(std::uint64_t round) const { return start_ + ((1 + round) << part_bits_); }
    std::uint64_t slot_at(std::uint64_t round, std::uint64_t self, std::uint64_t slot) const {
        return part(round) + (slot * kThreads + self) * slot_;
    }
    // Where an iova leads: linear within a block and within the slots of a round, and another
    // place for each round.
    PhysAddr address_of(std::uint64_t iova) const {
        const std::uint64_t within = iova - start_;
        return k1G + ((within ^ within >> part_bits_ << 26) & (k1G - 1));
    }
    std::uint32_t rights_of(std::uint64_t iova) const {
        return (iova / slot_) % 2 == 0 ? kRead : kRead | kWrite;
    }

    bool map_one(FaultPoints& faults, std::uint64_t iova, std::uint64_t bytes,
                 std::uint64_t shifted) {
        return map(*domain_, iova, address_of(iova) + shifted, bytes, rights_of(iova), faults)
            .has_value();
    }

    // --- the threads ---

    void work(std::uint64_t self) {
        FaultPoints faults;
        for (std::uint64_t round = 0; round < kRounds; ++round) {
            together_.arrive_and_wait();
            map_slots(faults, self, round);
            replace_table(faults, self);
            replace_tree(faults, self);
            if (round % 2 != 0) {
                unmap_slots(self, round);
            }
        }
    }

    // Neighbours in every table. Every other time the address is one page off, so that the pages
    // are small ones.
    void map_slots(FaultPoints& faults, std::uint64_t self, std::uint64_t round) {
        const std::uint64_t shifted = round % 2 * small_;
        for (std::uint64_t slot = 0; slot < kSlots; ++slot) {
            const std::uint64_t iova = slot_at(round, self, slot);
            wrong_ += !map_one(faults, iova, slot_, shifted);
            wrong_ += !leads_to(iova + slot_ - 1, address_of(iova) + shifted + slot_ - 1,
                                rights_of(iova));
        }
    }
    void unmap_slots(std::uint64_t self, std::uint64_t round) {
        for (std::uint64_t slot = 0; slot < kSlots; ++slot) {
            const std::uint64_t iova = slot_at(round, self, slot);
            wrong_ += unmap(*domain_, iova, slot_, test::no_faults()) != slot_;
            wrong_ += domain_->translate(iova).has_value();
        }
    }

    // A table of one's own, full, goes at one stroke; a page of its size may come in its place.
    void replace_table(FaultPoints& faults, std::uint64_t self) {
        const std::uint64_t block = block_of(self);
        for (const std::uint64_t shifted : {small_, std::uint64_t{0}}) {
            wrong_ += !map_one(faults, block, table_span_, shifted);
            for (const std::uint64_t within : {std::uint64_t{0}, table_span_ - 1}) {
                wrong_ += !leads_to(block + within, address_of(block) + shifted + within,
                                    rights_of(block));
            }
            wrong_ += unmap(*domain_, block, table_span_, test::no_faults()) != table_span_;
            wrong_ += domain_->translate(block).has_value();
            wrong_ += domain_->translate(block + table_span_ - 1).has_value();
        }
    }

    // The same one level higher: tables below a table.
    void replace_tree(FaultPoints& faults, std::uint64_t self) {
        if (upper_span_ == 0) {
            return;
        }
        const std::uint64_t tree = tree_of(self);
        for (std::uint64_t at = 0; at < 4 * table_span_; at += table_span_) {
            wrong_ += !map_one(faults, tree + at, small_, 0);
            wrong_ += !leads_to(tree + at, address_of(tree + at), rights_of(tree + at));
        }
        wrong_ += unmap(*domain_, tree, upper_span_, test::no_faults()) != upper_span_;
        wrong_ += domain_->translate(tree).has_value();
    }

    bool leads_to(std::uint64_t iova, PhysAddr address, std::uint32_t rights) const {
        const std::optional<Translation> found = domain_->translate(iova);
        const auto steps = domain_->walk(iova);
        return found && found->address == address && found->protection == rights &&
               domain_->iova_to_phys(iova) == address && steps.back().kind == WalkStep::Kind::page;
    }

    // --- the device, which is there all the time ---

    void walk_as_device() {
        wrong_ += !leads_to(stable(), address_of(stable()), rights_of(stable()));
        for (std::uint64_t round = 0; round < kRounds; ++round) {
            for (std::uint64_t at = 0; at < kSlots * kThreads; ++at) {
                see_slot(part(round) + at * slot_, round % 2 * small_);
            }
        }
        // What is behind a table that was given to somebody else may be anything.
        for (std::uint64_t self = 0; self < kThreads; ++self) {
            for (std::uint64_t at = 0; at < table_span_; at += table_span_ / 8) {
                domain_->translate(block_of(self) + at);
                domain_->walk(block_of(self) + at);
                domain_->translate(tree_of(self) + at);
            }
        }
        domain_->table_bytes();
    }

    // These tables stay: there is what was mapped, or nothing.
    void see_slot(std::uint64_t slot, std::uint64_t shifted) {
        for (const std::uint64_t within : {std::uint64_t{0}, slot_ - small_}) {
            const std::optional<Translation> found = domain_->translate(slot + within);
            wrong_ += found && (found->address != address_of(slot) + shifted + within ||
                                found->protection != rights_of(slot));
            if (found && (found->protection & kWrite) != 0) {
                domain_->note_write(slot + within);
            }
        }
    }

    mm::PhysicalMemory& memory_;
    const FormatInfo& format_;
    const BareRequest request_;
    FaultPoints faults_;
    const std::unique_ptr<Domain> domain_;
    const std::uint64_t start_;
    const unsigned part_bits_;
    const std::uint64_t small_;
    const std::uint64_t slot_;
    std::uint64_t table_span_ = 0;
    std::uint64_t upper_span_ = 0;  // 0: there is no such level, or the part is too small for it
    std::barrier<> together_{kThreads};
    std::atomic<std::uint64_t> wrong_{0};
    std::atomic<bool> done_{false};
};

TEST_CASE("threads with ranges of their own share tables, and a device walks all, any format") {
    for (const FormatInfo& format : formats()) {
        CAPTURE(std::string(format.name));
        // Short descriptors name tables below 4 GiB alone.
        Machine machine({.start = k1G});
        Traffic traffic(machine, format);
        traffic.run();
        traffic.compare_with_hardware();
        traffic.unmap_rounds();
    }
}

TEST_CASE("a tree that all threads make grow at once keeps what each of them maps") {
    constexpr std::uint64_t kTrees = 200;
    Machine machine;
    FaultPoints faults;
    const FormatInfo& format = *find_format("amdv1");
    std::vector<std::unique_ptr<Domain>> trees;
    for (std::uint64_t tree = 0; tree < kTrees; ++tree) {
        trees.push_back(
            value(create_bare_domain(machine.memory(), format, request_for(format), faults)));
    }
    std::barrier<> together(kThreads);
    std::vector<std::thread> threads;
    std::atomic<std::uint64_t> wrong = 0;
    // From three levels to six, with nothing else to do on the way.
    const auto iova_of = [](std::uint64_t self) { return ~std::uint64_t{0} << (48 + self); };
    for (std::uint64_t self = 0; self < kThreads; ++self) {
        threads.emplace_back([&, self] {
            FaultPoints own;
            for (const auto& tree : trees) {
                together.arrive_and_wait();
                wrong += !map(*tree, iova_of(self), k1G, 4096, kRead, own).has_value();
            }
        });
    }
    for (std::thread& thread : threads) {
        thread.join();
    }
    for (const auto& tree : trees) {
        for (std::uint64_t self = 0; self < kThreads; ++self) {
            wrong += tree->iova_to_phys(iova_of(self)) != k1G;
        }
        const test::HardwareView hardware(machine.memory(), format, request_for(format), *tree);
        const walker::Tree seen = hardware.read();
        wrong += seen.pages.size() != kThreads;
        wrong += hardware.table_bytes(seen) != tree->table_bytes();
    }
    CHECK(wrong == 0);
}

}  // namespace
}  // namespace kvmiommu::iommu
