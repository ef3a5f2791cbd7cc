// SPDX-License-Identifier: MIT
//
// The RISC-V IOMMU with a first stage (drivers/iommu/riscv/iommu.c, since 6.13).

#pragma once

#include <memory>

#include "iommu/fixed_domain.h"
#include "iommu/ops.h"
#include "mm/physical_memory.h"

namespace kvmiommu::iommu {

class RiscVOps final : public Ops {
  public:
    explicit RiscVOps(mm::PhysicalMemory& memory) : memory_(memory) {}

    const char* name() const override { return "riscv"; }
    bool capable(const Device&, Capability capability) const override {
        return capability == Capability::cache_coherency ||
               capability == Capability::deferred_flush;
    }
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
