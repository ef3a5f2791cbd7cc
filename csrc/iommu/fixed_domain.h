// SPDX-License-Identifier: MIT
//
// The domains without a page table: an iova is a physical address, or all DMA is blocked.

#pragma once

#include "iommu/domain.h"

namespace kvmiommu::iommu {

class FixedDomain final : public Domain {
  public:
    FixedDomain(const Ops& ops, DomainType type) : Domain(ops, type, 0, {0, ~std::uint64_t{0}}) {}

    Result<> attach_device(Device&, FaultPoints&) override { return {}; }
    Mapped map_pages(std::uint64_t, PhysAddr, std::uint64_t, std::uint64_t, std::uint32_t,
                     FaultPoints&) override {
        return {};
    }
    std::uint64_t unmap_pages(std::uint64_t, std::uint64_t, std::uint64_t, FaultPoints&) override {
        return 0;
    }
    PhysAddr iova_to_phys(std::uint64_t iova) const override {
        return type() == DomainType::identity ? iova : 0;
    }
};

}  // namespace kvmiommu::iommu
