// SPDX-License-Identifier: MIT
//
// The walker of every page-table format: a tree of tables in the machine's RAM.
//
// No lock is taken. A table is put in by compare-and-swap, a leaf is a plain store of a whole
// entry: callers own the ranges that they map and unmap. A table is freed only by an unmap that
// covers all of its span, so nobody else can be inside it.

#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <cassert>
#include <cstdint>
#include <utility>

#include "base/base.h"
#include "iommu/domain.h"
#include "iommu/pgtable/format.h"
#include "mm/physical_memory.h"

namespace kvmiommu::iommu::pgtable {

template <Format F>
class RadixTable {
  public:
    using Entry = typename F::Entry;
    using Attributes = typename F::Attributes;

    /// An empty tree of `levels` levels. ENOMEM.
    static Result<RadixTable> create(mm::PhysicalMemory& memory, unsigned levels,
                                     FaultPoints& faults) {
        const PhysAddr root = TRY(allocate_table(memory, faults));
        return RadixTable(memory, levels, root);
    }
    RadixTable(RadixTable&& other) noexcept
        : memory_(other.memory_), levels_(other.levels_), root_(std::exchange(other.root_, 0)) {}
    RadixTable& operator=(RadixTable&&) = delete;
    ~RadixTable() {
        if (root_ != 0) {
            free_subtree(root_, levels_ - 1);
        }
    }

    /// The root, for the hardware's context entry.
    PhysAddr root() const { return root_; }
    /// Bits of the iovas that it translates.
    unsigned address_bits() const { return F::kPageShift + levels_ * F::kIndexBits; }

    /// Domain::map_pages(). EEXIST where something is mapped already.
    Mapped map_pages(std::uint64_t iova, PhysAddr address, std::uint64_t page_size,
                     std::uint64_t count, std::uint32_t protection, Attributes attributes,
                     FaultPoints& faults) {
        Mapped mapped;
        if (iova > low_mask(address_bits()) ||
            page_size * count - 1 > low_mask(address_bits()) - iova) {
            mapped.refusal = Refusal(ERANGE, ReasonText<2>("iova {:x} is beyond {} bits"), kSource,
                                     std::array{iova, std::uint64_t{address_bits()}});
            return mapped;
        }
        const unsigned level = level_of(page_size);
        while (count != 0) {
            const auto table = table_for(iova + mapped.bytes, level, faults);
            if (!table) {
                mapped.refusal = table.error();
                return mapped;
            }
            // As many as this table has room for.
            std::uint64_t index = index_of(iova + mapped.bytes, level);
            const std::uint64_t run = std::min(count, kEntries - index);
            for (std::uint64_t i = 0; i < run; ++i, ++index) {
                std::atomic_ref<Entry> entry(entries(*table)[index]);
                const Entry old = entry.load(std::memory_order_relaxed);
                if (F::present(old)) [[unlikely]] {
                    if (F::leaf(old, level)) {
                        mapped.refusal =
                            Refusal(EEXIST, ReasonText<1>("iova {:x} is mapped already"), kSource,
                                    std::array{iova + mapped.bytes});
                        return mapped;
                    }
                    // A table without leaves in the way of a large page: unmaps that did not cover
                    // its span have left it.
                    entry.store(0, std::memory_order_relaxed);
                    free_subtree(F::address(old), level - 1);
                }
                entry.store(F::make_leaf(address + mapped.bytes, level, protection, attributes),
                            std::memory_order_release);
                mapped.bytes += page_size;
            }
            count -= run;
        }
        return mapped;
    }

    /// Domain::unmap_pages(). A larger leaf that the range begins in goes whole.
    std::uint64_t unmap_pages(std::uint64_t iova, std::uint64_t page_size, std::uint64_t count) {
        if (iova > low_mask(address_bits())) {
            return 0;
        }
        return unmap_range(root_, levels_ - 1, iova, page_size * count);
    }

    PhysAddr iova_to_phys(std::uint64_t iova) const {
        if (iova > low_mask(address_bits())) {
            return 0;
        }
        PhysAddr table = root_;
        for (unsigned level = levels_ - 1;; --level) {
            const Entry entry = load(table, index_of(iova, level));
            if (!F::present(entry)) {
                return 0;
            }
            if (F::leaf(entry, level)) {
                return F::address(entry) + (iova & (span(level) - 1));
            }
            table = F::address(entry);
        }
    }

  private:
    static constexpr Source kSource{"kvmiommu: iommu/pgtable/radix.h"};
    static constexpr std::uint64_t kEntries = std::uint64_t{1} << F::kIndexBits;

    RadixTable(mm::PhysicalMemory& memory, unsigned levels, PhysAddr root)
        : memory_(memory), levels_(levels), root_(root) {}

    // Bytes that one entry of a level stands for.
    static constexpr std::uint64_t span(unsigned level) {
        return std::uint64_t{1} << (F::kPageShift + level * F::kIndexBits);
    }
    static constexpr std::uint64_t index_of(std::uint64_t iova, unsigned level) {
        return iova >> (F::kPageShift + level * F::kIndexBits) & (kEntries - 1);
    }
    static unsigned level_of(std::uint64_t page_size) {
        unsigned level = 0;
        while (span(level) < page_size) {
            ++level;
        }
        assert(span(level) == page_size);
        return level;
    }

    static Result<PhysAddr> allocate_table(mm::PhysicalMemory& memory, FaultPoints& faults) {
        if (faults.fails()) {
            return refuse(ENOMEM, "a page table could not be allocated: told to fail",
                          Source{"drivers/iommu/iommu-pages.h: iommu_alloc_pages_node"});
        }
        return memory.allocate_frame();
    }

    Entry* entries(PhysAddr table) const { return reinterpret_cast<Entry*>(memory_.at(table)); }
    Entry load(PhysAddr table, std::uint64_t index) const {
        return std::atomic_ref<Entry>(entries(table)[index]).load(std::memory_order_acquire);
    }

    // The table of `level` that holds the entry for `iova`, made where it is missing.
    Result<PhysAddr> table_for(std::uint64_t iova, unsigned level, FaultPoints& faults) {
        PhysAddr table = root_;
        for (unsigned at = levels_ - 1; at > level; --at) {
            std::atomic_ref<Entry> entry(entries(table)[index_of(iova, at)]);
            Entry seen = entry.load(std::memory_order_acquire);
            if (!F::present(seen)) {
                const PhysAddr fresh = TRY(allocate_table(memory_, faults));
                if (entry.compare_exchange_strong(seen, F::make_table(fresh),
                                                  std::memory_order_acq_rel)) {
                    table = fresh;
                    continue;
                }
                memory_.free_frame(fresh);
            }
            if (F::leaf(seen, at)) {
                return refuse(EEXIST, "iova {:x} lies in a larger page that is mapped already",
                              kSource, iova);
            }
            table = F::address(seen);
        }
        return table;
    }

    // Unmaps at most `bytes` from `iova` on within one table. Answers the bytes that went.
    std::uint64_t unmap_range(PhysAddr table, unsigned level, std::uint64_t iova,
                              std::uint64_t bytes) {
        std::uint64_t done = 0;
        for (std::uint64_t index = index_of(iova, level); index < kEntries && done < bytes;
             ++index) {
            std::atomic_ref<Entry> entry(entries(table)[index]);
            const Entry old = entry.load(std::memory_order_relaxed);
            if (!F::present(old)) {
                break;
            }
            const std::uint64_t start = (iova + done) & (span(level) - 1);
            if (F::leaf(old, level)) {
                entry.store(0, std::memory_order_release);
                // What the range begins in the middle of goes from its start, and only what lies
                // behind is counted.
                done += span(level) - start;
                continue;
            }
            const std::uint64_t gone =
                unmap_range(F::address(old), level - 1, iova + done, bytes - done);
            if (gone == 0) {
                break;
            }
            if (start == 0 && gone >= span(level)) {
                entry.store(0, std::memory_order_release);
                free_subtree(F::address(old), level - 1);
            }
            done += gone;
            if ((start + gone) < span(level)) {
                break;
            }
        }
        return done;
    }

    void free_subtree(PhysAddr table, unsigned level) {
        if (level != 0) {
            for (std::uint64_t index = 0; index < kEntries; ++index) {
                const Entry entry = load(table, index);
                if (F::present(entry) && !F::leaf(entry, level)) {
                    free_subtree(F::address(entry), level - 1);
                }
            }
        }
        memory_.free_frame(table);
    }

    mm::PhysicalMemory& memory_;
    const unsigned levels_;
    PhysAddr root_;
};

}  // namespace kvmiommu::iommu::pgtable
