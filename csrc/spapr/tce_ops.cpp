// SPDX-License-Identifier: MIT

#include "spapr/tce_ops.h"

#include <utility>

#include "spapr/paging_domain.h"
#include "spapr/powernv.h"
#include "spapr/pseries.h"

namespace kvmiommu::spapr {

namespace {
constexpr Source kAlloc{"drivers/iommu/iommu.c: __iommu_paging_domain_alloc_flags"};
}

Result<std::unique_ptr<iommu::Domain>> TceOps::domain_alloc_paging(iommu::Device&, FaultPoints&) {
    if (paging_domains_) {
        return std::make_unique<PagingDomain>(*this, census_, memory_,
                                              platform_ == Platform::powernv);
    }
    return refuse(EOPNOTSUPP, "the driver has no page tables to give away", kAlloc);
}

iommu::Domain& TceOps::default_domain_of(const iommu::Group& group) {
    return endpoints_.at(&group)->kernel;
}

iommu::Domain& TceOps::blocked_domain_of(const iommu::Group& group) {
    return endpoints_.at(&group)->windows;
}

void TceOps::join(iommu::Group& group, iommu::Device& device) {
    std::unique_ptr<Endpoint>& endpoint = endpoints_[&group];
    if (endpoint) {
        return;
    }
    const iommu::IommuDevice& bridge = device.iommu_device();
    const Windows windows{.dma32_start = 0,
                          .dma32_size = bridge.window_size,
                          .page_sizes = bridge.page_sizes,
                          .most = kMostWindows,
                          .levels = bridge.table_levels};
    std::unique_ptr<TableGroup> tables;
    if (platform_ == Platform::powernv) {
        tables = std::make_unique<PowernvTableGroup>(census_, memory_, page_size_, windows);
    } else {
        tables = std::make_unique<PseriesTableGroup>(census_, memory_, page_size_, windows);
    }
    endpoint = std::make_unique<Endpoint>(*this, std::move(tables));
    group.set_iommudata(*endpoint->tables);
}

TableGroup* table_group_of(const iommu::Group& group) {
    return dynamic_cast<TableGroup*>(group.iommudata());
}

}  // namespace kvmiommu::spapr
