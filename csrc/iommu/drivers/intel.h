// SPDX-License-Identifier: MIT
//
// Intel VT-d with second-level tables (drivers/iommu/intel/iommu.c).

#pragma once

#include <cstdint>
#include <memory>

#include "iommu/fixed_domain.h"
#include "iommu/ops.h"
#include "mm/physical_memory.h"

namespace kvmiommu::iommu {

class IntelOps final : public Ops {
  public:
    explicit IntelOps(mm::PhysicalMemory& memory) : memory_(memory) {}

    const char* name() const override { return "intel"; }
    bool capable(const Device& device, Capability capability) const override;
    Result<std::unique_ptr<Domain>> domain_alloc_paging(Device& device,
                                                        FaultPoints& faults) override;
    /// Knows IOMMU_HWPT_ALLOC_DIRTY_TRACKING.
    Domain& default_domain() override { return default_; }
    Domain& blocked_domain() override { return blocked_; }

  private:
    Result<std::unique_ptr<Domain>> domain_alloc_tracking(Device& device,
                                                          FaultPoints& faults) override;
    Result<std::unique_ptr<Domain>> make_domain(const IommuDevice& instance, bool dirty_tracking,
                                                FaultPoints& faults);

    mm::PhysicalMemory& memory_;
    FixedDomain default_{*this, DomainType::identity};
    FixedDomain blocked_{*this, DomainType::blocked};
};

}  // namespace kvmiommu::iommu
