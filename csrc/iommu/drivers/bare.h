// SPDX-License-Identifier: MIT
//
// Page tables that no IOMMU walks yet: domains of a format alone, as the kernel's io-pgtable makes
// them for its own tests (drivers/iommu/io-pgtable-arm.c: arm_lpae_do_selftests). No device can be
// attached to them.

#pragma once

#include <memory>
#include <utility>

#include "iommu/fixed_domain.h"
#include "iommu/ops.h"
#include "iommu/pgtable/table_domain.h"
#include "mm/physical_memory.h"

namespace kvmiommu::iommu {

template <pgtable::Format F>
class BareDomain final : public pgtable::TableDomain<F> {
  public:
    BareDomain(const Ops& ops, std::uint64_t pgsize_bitmap, unsigned bits,
               typename BareDomain::Table table)
        : pgtable::TableDomain<F>(ops, pgsize_bitmap, {0, low_mask(bits)}, std::move(table)) {}

    Result<> attach_device(Device&) override {
        return refuse(EINVAL, "the domain is a page table alone: no device can be attached",
                      Source{"kvmiommu: iommu/drivers/bare.h"});
    }
};

/// Makes domains of one format, with as many bits as `device`'s instance says.
template <pgtable::Format F>
class BareOps final : public Ops {
  public:
    explicit BareOps(mm::PhysicalMemory& memory) : memory_(memory) {}

    const char* name() const override { return "bare"; }
    Result<std::unique_ptr<Domain>> domain_alloc_paging(Device& device,
                                                        FaultPoints& faults) override {
        using Table = typename BareDomain<F>::Table;
        const Instance& instance = device.instance();
        // Tables next to each other save a level where so many bits are enough.
        const unsigned bits = instance.address_width - F::kPageShift;
        if constexpr (requires { F::kMostMoreBits; }) {
            const unsigned more_bits = bits % F::kIndexBits;
            if (bits > F::kIndexBits && more_bits <= F::kMostMoreBits) {
                const unsigned whole = bits / F::kIndexBits;
                return std::make_unique<BareDomain<F>>(
                    *this, instance.page_sizes, instance.address_width,
                    TRY(Table::create(memory_, whole, whole, faults, more_bits)));
            }
        }
        const unsigned levels = (bits + F::kIndexBits - 1) / F::kIndexBits;
        return std::make_unique<BareDomain<F>>(*this, instance.page_sizes, instance.address_width,
                                               TRY(Table::create(memory_, levels, levels, faults)));
    }
    Domain& default_domain() override { return blocked_; }
    Domain& blocked_domain() override { return blocked_; }

  private:
    mm::PhysicalMemory& memory_;
    FixedDomain blocked_{*this, DomainType::blocked};
};

}  // namespace kvmiommu::iommu
