// SPDX-License-Identifier: MIT
//
// The IOMMU driver of POWER's host bridges (arch/powerpc/kernel/iommu.c: spapr_tce_iommu_ops). It
// has no paging domains: the owner of a group's DMA creates windows by the group's TableGroup.

#pragma once

#include <cstdint>
#include <map>
#include <memory>

#include "iommu/fixed_domain.h"
#include "iommu/ops.h"
#include "mm/physical_memory.h"
#include "spapr/table_group.h"

namespace kvmiommu::spapr {

enum class Platform : std::uint8_t { powernv, pseries };

class TceOps final : public iommu::Ops {
  public:
    TceOps(Platform platform, Census& census, mm::PhysicalMemory& memory, std::uint64_t page_size)
        : platform_(platform), census_(census), memory_(memory), page_size_(page_size) {}

    const char* name() const override {
        return platform_ == Platform::powernv ? "powernv" : "pseries";
    }
    bool capable(const iommu::Device&, iommu::Capability capability) const override {
        return capability == iommu::Capability::cache_coherency;
    }
    /// EOPNOTSUPP unless offer_paging_domains() was called
    Result<std::unique_ptr<iommu::Domain>> domain_alloc_paging(iommu::Device& device,
                                                               FaultPoints& faults) override;
    /// From now on there are paging domains, which Linux does not have (spapr/paging_domain.h).
    void offer_paging_domains() { paging_domains_ = true; }
    iommu::Domain& default_domain() override { return default_; }
    iommu::Domain& blocked_domain() override { return blocked_; }
    iommu::Domain& default_domain_of(const iommu::Group& group) override;
    iommu::Domain& blocked_domain_of(const iommu::Group& group) override;
    void join(iommu::Group& group, iommu::Device& device) override;

  private:
    struct Endpoint {
        Endpoint(const iommu::Ops& ops, std::unique_ptr<TableGroup> table_group)
            : tables(std::move(table_group)), kernel(ops, *tables), windows(ops, *tables) {}

        std::unique_ptr<TableGroup> tables;
        KernelDomain kernel;
        WindowsDomain windows;
    };

    const Platform platform_;
    Census& census_;
    mm::PhysicalMemory& memory_;
    const std::uint64_t page_size_;
    bool paging_domains_ = false;
    // No device is ever in these: each is in a group from the start.
    iommu::FixedDomain default_{*this, iommu::DomainType::identity};
    iommu::FixedDomain blocked_{*this, iommu::DomainType::blocked};
    std::map<const iommu::Group*, std::unique_ptr<Endpoint>> endpoints_;
};

/// The windows of a group; null where it has none.
TableGroup* table_group_of(const iommu::Group& group);

}  // namespace kvmiommu::spapr
