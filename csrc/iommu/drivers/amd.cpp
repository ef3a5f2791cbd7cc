// SPDX-License-Identifier: MIT

#include "iommu/drivers/amd.h"

#include <algorithm>
#include <utility>

#include "iommu/pgtable/amdv1.h"
#include "iommu/pgtable/table_domain.h"

namespace kvmiommu::iommu {

namespace {

using AmdTableDomain = pgtable::TableDomain<pgtable::AmdV1>;

// A domain begins with 39 bits, enough for most machines' memory one to one, and grows when
// somebody maps above (drivers/iommu/amd/io_pgtable.c: v1_alloc_pgtable).
constexpr unsigned kFirstLevels = 3;

unsigned levels_for(unsigned address_width) {
    const unsigned index_bits = pgtable::AmdV1::kIndexBits;
    return (address_width - pgtable::AmdV1::kPageShift + index_bits - 1) / index_bits;
}

class AmdDomain final : public AmdTableDomain {
  public:
    AmdDomain(const Ops& ops, const Instance& instance, Table table)
        : AmdTableDomain(ops, instance.page_sizes, {0, low_mask(instance.address_width)},
                         std::move(table)) {
        if (instance.dirty_tracking) {
            allow_dirty_tracking();
        }
    }

    // The driver takes all units of a machine for alike (drivers/iommu/amd/iommu.c:
    // amd_iommu_attach_device).
    Result<> attach_device(Device&) override { return {}; }

    // FC is in every leaf anyway (drivers/iommu/amd/iommu.c: amd_iommu_enforce_cache_coherency).
    bool enforce_cache_coherency() override { return true; }
};

}  // namespace

Result<std::unique_ptr<Domain>> AmdOps::domain_alloc_paging(Device& device, FaultPoints& faults) {
    const Instance& instance = device.instance();
    const unsigned most_levels = levels_for(instance.address_width);
    return std::make_unique<AmdDomain>(
        *this, instance,
        TRY(AmdDomain::Table::create(memory_, {std::min(kFirstLevels, most_levels), most_levels},
                                     faults)));
}

}  // namespace kvmiommu::iommu
