// SPDX-License-Identifier: MIT
//
// Page tables that no IOMMU walks: domains of a format alone, as the kernel's io-pgtable makes
// them for its own tests (drivers/iommu/io-pgtable-arm.c: arm_lpae_do_selftests). No device can be
// attached to them.

#pragma once

#include <algorithm>
#include <bit>
#include <concepts>
#include <memory>
#include <utility>

#include "iommu/fixed_domain.h"
#include "iommu/ops.h"
#include "iommu/pgtable/table_domain.h"
#include "iommu/pgtable/tce.h"
#include "mm/physical_memory.h"

namespace kvmiommu::iommu {

/// What a bare table may have besides its page sizes and bits.
struct BareOptions {
    /// Levels to begin with where the format leaves a choice; 0 for the driver's own.
    unsigned levels = 0;
    pgtable::TablePolicy policy{};
};

template <pgtable::Format F>
class BareDomain final : public pgtable::TableDomain<F> {
  public:
    using Shape = pgtable::Shape<F>;

    BareDomain(const Ops& ops, const Instance& instance, Range aperture,
               typename BareDomain::Table table, typename F::Attributes attributes)
        : pgtable::TableDomain<F>(ops, instance.page_sizes, aperture, std::move(table),
                                  attributes) {
        if (pgtable::HasDirty<F> && instance.dirty_tracking) {
            this->allow_dirty_tracking();
        }
    }

    Result<> attach_device(Device&) override {
        return refuse(EINVAL, "the domain is a page table alone: no device can be attached",
                      Source{"kvmiommu: iommu/drivers/bare.h"});
    }
};

/// The tree for `bits` bits of iova.
template <pgtable::Format F>
pgtable::Shape<F> bare_shape(unsigned bits, std::uint64_t page_sizes, const BareOptions& options) {
    typename F::Geometry geometry;
    unsigned levels = 1;
    // A window: as many bits at each level as it takes, a frame at least (arch/powerpc/platforms/
    // powernv/pci-ioda-tce.c: pnv_pci_ioda2_table_alloc_pages).
    if constexpr (std::same_as<F, pgtable::Tce>) {
        const auto page_shift = static_cast<unsigned>(std::countr_zero(page_sizes));
        levels = options.levels == 0 ? 2 : options.levels;
        const unsigned entry_bits = bits - page_shift;
        geometry = {page_shift, std::max((entry_bits + levels - 1) / levels, mm::kFrameShift - 3)};
    } else {
        while (geometry.shift_of(levels) < bits) {
            ++levels;
        }
    }
    pgtable::Shape<F> shape{levels, levels, bits, options.policy, geometry};
    if constexpr (pgtable::Grows<F>) {
        shape.levels = std::clamp(options.levels, 1u, levels);
    }
    // A fourth level that tables next to each other can save (drivers/iommu/io-pgtable-arm.c:
    // arm_64_lpae_alloc_pgtable_s2).
    if constexpr (pgtable::Concatenates<F>) {
        if (levels == 4 && bits - geometry.shift_of(3) <= F::kMostMoreBits) {
            shape.levels = shape.most_levels = 3;
        }
    }
    return shape;
}

/// Makes domains of one format, with as many bits as `device`'s instance says.
template <pgtable::Format F>
class BareOps final : public Ops {
  public:
    explicit BareOps(mm::PhysicalMemory& memory, BareOptions options = {})
        : memory_(memory), options_(options) {}

    const char* name() const override { return "bare"; }
    Result<std::unique_ptr<Domain>> domain_alloc_paging(Device& device,
                                                        FaultPoints& faults) override {
        const Instance& instance = device.instance();
        const unsigned bits = instance.address_width;
        const auto shape = bare_shape<F>(bits, instance.page_sizes, options_);
        typename F::Attributes attributes{};
        if constexpr (requires { attributes.hardware_dirty; }) {
            attributes.hardware_dirty = instance.dirty_tracking;
        }
        Range aperture{0, low_mask(bits)};
        if constexpr (pgtable::UpperHalf<F>) {
            aperture = {~low_mask(bits), ~std::uint64_t{0}};
        }
        return std::make_unique<BareDomain<F>>(
            *this, instance, aperture, TRY(BareDomain<F>::Table::create(memory_, shape, faults)),
            attributes);
    }
    Domain& default_domain() override { return blocked_; }
    Domain& blocked_domain() override { return blocked_; }

  private:
    mm::PhysicalMemory& memory_;
    const BareOptions options_;
    FixedDomain blocked_{*this, DomainType::blocked};
};

}  // namespace kvmiommu::iommu
