// SPDX-License-Identifier: MIT
//
// Arm's SMMUv3 (drivers/iommu/arm/arm-smmu-v3/arm-smmu-v3.c).

#pragma once

#include <cstdint>
#include <memory>

#include "iommu/fixed_domain.h"
#include "iommu/ops.h"
#include "mm/physical_memory.h"

namespace kvmiommu::iommu {

class SmmuV3Ops final : public Ops {
  public:
    /// The kernel's page size decides the granule of the tables.
    SmmuV3Ops(mm::PhysicalMemory& memory, std::uint64_t page_size)
        : memory_(memory), page_size_(page_size) {}

    const char* name() const override { return "smmu_v3"; }
    bool capable(const Device& device, Capability capability) const override;
    /// ENOMEM also when the SMMU has none of the page sizes that there are tables for
    Result<std::unique_ptr<Domain>> domain_alloc_paging(Device& device,
                                                        FaultPoints& faults) override;
    /// EPERM the domain was made for a device, and so has its stage
    Result<> enable_nesting(Domain& domain) override;
    Domain& default_domain() override { return default_; }
    Domain& blocked_domain() override { return blocked_; }

  private:
    // Of stage 1 alone (IOMMU_HWPT_ALLOC_DIRTY_TRACKING).
    Result<std::unique_ptr<Domain>> domain_alloc_tracking(Device& device,
                                                          FaultPoints& faults) override;
    Result<std::unique_ptr<Domain>> make_domain(const IommuDevice& instance, bool dirty_tracking,
                                                FaultPoints& faults);

    mm::PhysicalMemory& memory_;
    const std::uint64_t page_size_;
    FixedDomain default_{*this, DomainType::identity};
    FixedDomain blocked_{*this, DomainType::blocked};
};

}  // namespace kvmiommu::iommu
