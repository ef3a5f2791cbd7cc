// SPDX-License-Identifier: MIT
//
// AMD-Vi with version 1 host tables (drivers/iommu/amd/iommu.c, io_pgtable.c).

#pragma once

#include <memory>

#include "iommu/fixed_domain.h"
#include "iommu/ops.h"
#include "mm/physical_memory.h"

namespace kvmiommu::iommu {

class AmdOps final : public Ops {
  public:
    explicit AmdOps(mm::PhysicalMemory& memory) : memory_(memory) {}

    const char* name() const override { return "amd"; }
    Result<std::unique_ptr<Domain>> domain_alloc_paging(Device& device,
                                                        FaultPoints& faults) override;
    Domain& default_domain() override { return default_; }
    Domain& blocked_domain() override { return blocked_; }

  private:
    mm::PhysicalMemory& memory_;
    FixedDomain default_{*this, DomainType::identity};
    FixedDomain blocked_{*this, DomainType::blocked};
};

}  // namespace kvmiommu::iommu
