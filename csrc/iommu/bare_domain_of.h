// SPDX-License-Identifier: MIT
//
// The domain of one format, for bare_domain.cpp and for callers that must know its type.

#pragma once

#include <algorithm>
#include <bit>
#include <concepts>
#include <memory>
#include <utility>

#include "iommu/bare_domain.h"
#include "iommu/fixed_domain.h"
#include "iommu/ops.h"
#include "iommu/pgtable/table_domain.h"
#include "iommu/pgtable/tce.h"

namespace kvmiommu::iommu {

/// The driver of a table that no hardware walks.
class BareOps final : public Ops {
  public:
    const char* name() const override { return "bare"; }
    Result<std::unique_ptr<Domain>> domain_alloc_paging(Device&, FaultPoints&) override {
        return refuse(EOPNOTSUPP, "a page table alone has no IOMMU that could have another",
                      Source{"kvmiommu: iommu/bare_domain.h"});
    }
    Domain& default_domain() override { return blocked_; }
    Domain& blocked_domain() override { return blocked_; }

  private:
    FixedDomain blocked_{*this, DomainType::blocked};
};

// A base, so that it is constructed before the domain that refers to it.
struct BareOwner {
    BareOps own_ops;
};

template <pgtable::Format F>
class BareDomain final : private BareOwner, public pgtable::TableDomain<F> {
  public:
    using Table = pgtable::RadixTable<F>;

    /// Bits and page sizes of the request have been checked.
    /// EINVAL an entry of the highest level would map more than 2^63 bytes
    /// ENOMEM
    static Result<std::unique_ptr<Domain>> create(mm::PhysicalMemory& memory,
                                                  const BareRequest& request, FaultPoints& faults) {
        const auto shape = shape_of(request);
        if (shape.geometry.shift_of(shape.most_levels - 1) >= 64) {
            return refuse(EINVAL, "an entry of level {} of {} would stand for 2^{} bytes",
                          Source{"kvmiommu: iommu/bare_domain.h"}, shape.most_levels - 1,
                          shape.most_levels, shape.geometry.shift_of(shape.most_levels - 1));
        }
        Table table = TRY(Table::create(memory, shape, faults));
        return std::unique_ptr<Domain>(new BareDomain(request, std::move(table)));
    }

    Result<> attach_device(Device&, FaultPoints&) override {
        return refuse(EINVAL, "the domain is a page table alone: no device can be attached",
                      Source{"kvmiommu: iommu/bare_domain.h"});
    }

  private:
    BareDomain(const BareRequest& request, Table table)
        : pgtable::TableDomain<F>(own_ops, request.page_sizes, aperture_of(request),
                                  std::move(table), attributes_of(request)) {
        if (pgtable::HasDirty<F> && request.dirty_tracking) {
            this->allow_dirty_tracking();
        }
    }

    static Range aperture_of(const BareRequest& request) {
        const std::uint64_t mask = low_mask(request.bits);
        if constexpr (pgtable::UpperHalf<F>) {
            return {~mask, ~std::uint64_t{0}};
        } else if constexpr (pgtable::SignExtends<F>) {
            return {0, ~std::uint64_t{0}};  // but for the hole in the middle
        } else {
            return {0, mask};
        }
    }
    static typename F::Attributes attributes_of(const BareRequest& request) {
        typename F::Attributes attributes{};
        if constexpr (requires { attributes.hardware_dirty; }) {
            attributes.hardware_dirty = request.dirty_tracking;
        }
        return attributes;
    }

    static pgtable::Shape<F> shape_of(const BareRequest& request) {
        // A window: all levels have the same number of index bits, those of a frame at least
        // (arch/powerpc/platforms/powernv/pci-ioda-tce.c: pnv_pci_ioda2_table_alloc_pages).
        if constexpr (std::same_as<F, pgtable::Tce>) {
            const auto page_shift = static_cast<unsigned>(std::countr_zero(request.page_sizes));
            const unsigned levels = request.levels == 0 ? 2 : request.levels;
            const unsigned bits = request.bits - page_shift;
            const pgtable::Tce::Geometry geometry{
                page_shift, std::max((bits + levels - 1) / levels, mm::kFrameShift - 3)};
            return {levels, levels, request.bits, request.policy, geometry};
        } else {
            auto shape = pgtable::shape_for<F>(request.bits, request.policy);
            // The driver begins with 3 (drivers/iommu/amd/io_pgtable.c: v1_alloc_pgtable).
            if constexpr (pgtable::Grows<F>) {
                shape.levels = std::min(request.levels == 0 ? 3 : request.levels, shape.levels);
            }
            return shape;
        }
    }
};

}  // namespace kvmiommu::iommu
