// SPDX-License-Identifier: MIT

#include "iommu/drivers/amd.h"

#include <algorithm>
#include <utility>

#include "iommu/pgtable/amdv1.h"
#include "iommu/pgtable/table_domain.h"

namespace kvmiommu::iommu {

namespace {

constexpr Source kAttach{"drivers/iommu/amd/iommu.c: amd_iommu_attach_device"};

using AmdTableDomain = pgtable::TableDomain<pgtable::AmdV1>;

// A domain begins with 39 bits, and grows when something is mapped above (drivers/iommu/amd/
// io_pgtable.c: v1_alloc_pgtable).
constexpr unsigned kFirstLevels = 3;

unsigned levels_for(unsigned address_width) {
    const unsigned index_bits = pgtable::AmdV1::kIndexBits;
    return (address_width - pgtable::AmdV1::kPageShift + index_bits - 1) / index_bits;
}

class AmdDomain final : public AmdTableDomain {
  public:
    AmdDomain(const Ops& ops, const IommuDevice& instance, bool dirty_tracking, Table table)
        : AmdTableDomain(ops, instance.page_sizes, {0, low_mask(instance.address_width)},
                         std::move(table)) {
        if (dirty_tracking) {
            allow_dirty_tracking();
        }
    }

    // Otherwise the driver takes all units of a machine for alike.
    Result<> attach_device(Device& device, FaultPoints&) override {
        if (can_track_dirty() && !device.iommu_device().dirty_tracking) {
            return refuse(EINVAL, "the domain tracks writes, the device's IOMMU cannot", kAttach);
        }
        return {};
    }

    // FC is in every leaf anyway (drivers/iommu/amd/iommu.c: amd_iommu_enforce_cache_coherency).
    bool enforce_cache_coherency() override { return true; }
};

}  // namespace

// (amd_iommu_capable) No firmware of a described machine asks for protection before the kernel.
bool AmdOps::capable(const Device& device, Capability capability) const {
    switch (capability) {
        case Capability::cache_coherency:
        case Capability::enforce_cache_coherency:
        case Capability::deferred_flush:
            return true;
        case Capability::dirty_tracking:
            return device.iommu_device().dirty_tracking;
        case Capability::noexec:
        case Capability::pre_boot_protection:
            break;
    }
    return false;
}

Result<std::unique_ptr<Domain>> AmdOps::make_domain(const IommuDevice& instance,
                                                    bool dirty_tracking, FaultPoints& faults) {
    const unsigned most_levels = levels_for(instance.address_width);
    return std::make_unique<AmdDomain>(
        *this, instance, dirty_tracking,
        TRY(AmdDomain::Table::create(memory_, {std::min(kFirstLevels, most_levels), most_levels},
                                     faults)));
}

Result<std::unique_ptr<Domain>> AmdOps::domain_alloc_paging(Device& device, FaultPoints& faults) {
    return make_domain(device.iommu_device(), false, faults);
}

Result<std::unique_ptr<Domain>> AmdOps::domain_alloc_tracking(Device& device, FaultPoints& faults) {
    return make_domain(device.iommu_device(), true, faults);
}

}  // namespace kvmiommu::iommu
