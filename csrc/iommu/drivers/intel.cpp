// SPDX-License-Identifier: MIT

#include "iommu/drivers/intel.h"

#include <utility>

#include "iommu/pgtable/table_domain.h"
#include "iommu/pgtable/vtdss.h"

namespace kvmiommu::iommu {

namespace {

constexpr Source kAttach{"drivers/iommu/intel/iommu.c: prepare_domain_attach_device"};

using VtdTableDomain = pgtable::TableDomain<pgtable::VtdSecondLevel>;

unsigned levels_for(unsigned address_width) {
    return (address_width - pgtable::VtdSecondLevel::kPageShift) /
           pgtable::VtdSecondLevel::kIndexBits;
}

// The domain is allocated for one device's IOMMU. A device behind another one fits when that IOMMU
// can walk the table, and can do whatever else the domain relies on.
class IntelDomain final : public VtdTableDomain {
  public:
    IntelDomain(const Ops& ops, const IommuDevice& instance, bool dirty_tracking, Table table)
        : VtdTableDomain(ops, instance.page_sizes, {0, low_mask(instance.address_width)},
                         std::move(table)),
          address_width_(instance.address_width),
          can_snoop_(instance.enforces_cache_coherency) {
        if (dirty_tracking) {
            allow_dirty_tracking();
        }
    }

    Result<> attach_device(Device& device, FaultPoints&) override {
        const IommuDevice& instance = device.iommu_device();
        if (instance.address_width < address_width_) {
            return refuse(EINVAL, "the device's IOMMU has {} bits, the domain {}", kAttach,
                          instance.address_width, address_width_);
        }
        if (attributes().snoop && !instance.enforces_cache_coherency) {
            return refuse(EINVAL, "the domain forces snooping, the device's IOMMU cannot", kAttach);
        }
        if (can_track_dirty() && !instance.dirty_tracking) {
            return refuse(EINVAL, "the domain tracks writes, the device's IOMMU cannot", kAttach);
        }
        if ((pgsize_bitmap() & ~instance.page_sizes) != 0) {
            return refuse(EINVAL, "the domain has page sizes {:x}, the device's IOMMU {:x}",
                          kAttach, pgsize_bitmap(), instance.page_sizes);
        }
        return {};
    }

    bool enforce_cache_coherency() override {
        if (can_snoop_) {
            set_attributes({.snoop = true});
        }
        return can_snoop_;
    }

  private:
    const unsigned address_width_;
    const bool can_snoop_;
};

}  // namespace

// (intel_iommu_capable) No firmware of a described machine asks for protection before the kernel.
bool IntelOps::capable(const Device& device, Capability capability) const {
    switch (capability) {
        case Capability::cache_coherency:
        case Capability::deferred_flush:
            return true;
        case Capability::enforce_cache_coherency:
            return device.iommu_device().enforces_cache_coherency;
        case Capability::dirty_tracking:
            return device.iommu_device().dirty_tracking;
        case Capability::noexec:
        case Capability::pre_boot_protection:
            break;
    }
    return false;
}

Result<std::unique_ptr<Domain>> IntelOps::make_domain(const IommuDevice& instance,
                                                      bool dirty_tracking, FaultPoints& faults) {
    const unsigned levels = levels_for(instance.address_width);
    return std::make_unique<IntelDomain>(
        *this, instance, dirty_tracking,
        TRY(IntelDomain::Table::create(memory_, {levels}, faults)));
}

Result<std::unique_ptr<Domain>> IntelOps::domain_alloc_paging(Device& device, FaultPoints& faults) {
    return make_domain(device.iommu_device(), false, faults);
}

Result<std::unique_ptr<Domain>> IntelOps::domain_alloc_tracking(Device& device,
                                                                FaultPoints& faults) {
    return make_domain(device.iommu_device(), true, faults);
}

}  // namespace kvmiommu::iommu
