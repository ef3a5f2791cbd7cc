// SPDX-License-Identifier: MIT
//
// A domain of one page table of a format (include/linux/io-pgtable.h: io_pgtable_ops). A driver's
// domain derives from it and decides which devices can be attached.

#pragma once

#include <atomic>
#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

#include "iommu/domain.h"
#include "iommu/pgtable/radix.h"

namespace kvmiommu::iommu::pgtable {

template <Format F>
class TableDomain : public Domain {
  public:
    using Table = RadixTable<F>;
    using Attributes = typename F::Attributes;

    bool map_page(std::uint64_t iova, PhysAddr address, std::uint64_t page_size,
                  std::uint32_t protection) final {
        return table_.map_page(iova, address, page_size, protection, attributes());
    }
    bool map_row(std::uint64_t iova, PhysAddr address, std::uint64_t page_size, std::uint64_t count,
                 std::uint32_t protection) final {
        return table_.map_row(iova, address, page_size, count, protection, attributes());
    }
    Mapped map_pages(std::uint64_t iova, PhysAddr address, std::uint64_t page_size,
                     std::uint64_t count, std::uint32_t protection, FaultPoints& faults) final {
        return table_.map_pages(iova, address, page_size, count, protection, attributes(), faults);
    }
    bool unmap_page(std::uint64_t iova, std::uint64_t page_size) final {
        return table_.unmap_page(iova, page_size);
    }
    std::uint64_t unmap_pages(std::uint64_t iova, std::uint64_t page_size, std::uint64_t count,
                              FaultPoints& faults) final {
        return table_.unmap_pages(iova, page_size, count, faults);
    }
    PhysAddr iova_to_phys(std::uint64_t iova) const final { return table_.iova_to_phys(iova); }
    std::optional<Translation> translate(std::uint64_t iova) const final {
        return table_.translate(iova);
    }
    std::vector<WalkStep> walk(std::uint64_t iova) const final { return table_.walk(iova); }
    std::uint64_t table_bytes() const final { return table_.table_bytes(); }

  protected:
    TableDomain(const Ops& ops, std::uint64_t pgsize_bitmap, Range aperture, Table table,
                Attributes attributes = {})
        : Domain(ops, DomainType::unmanaged, pgsize_bitmap, aperture),
          attributes_(attributes),
          table_(std::move(table)) {}

    /// Of leaves made from now on.
    Attributes attributes() const { return attributes_.load(std::memory_order_relaxed); }
    void set_attributes(Attributes attributes) {
        attributes_.store(attributes, std::memory_order_relaxed);
    }

    void mark_dirty(std::uint64_t iova) final {
        if constexpr (HasDirty<F>) {
            table_.mark_dirty(iova);
        }
    }
    void each_dirty(Range range, bool make_clean, DirtyBitmap* bitmap) final {
        if constexpr (HasDirty<F>) {
            table_.each_dirty(range.start, range.last, make_clean,
                              [&](std::uint64_t iova, std::uint64_t page_size) {
                                  if (bitmap != nullptr) {
                                      bitmap->record(iova, page_size);
                                  }
                              });
        }
    }

  private:
    std::atomic<Attributes> attributes_;
    Table table_;
};

}  // namespace kvmiommu::iommu::pgtable
