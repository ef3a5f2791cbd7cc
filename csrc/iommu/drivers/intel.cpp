// SPDX-License-Identifier: MIT

#include "iommu/drivers/intel.h"

#include <atomic>
#include <utility>

#include "iommu/pgtable/radix.h"
#include "iommu/pgtable/vtdss.h"

namespace kvmiommu::iommu {

namespace {

constexpr Source kAttach{"drivers/iommu/intel/iommu.c: prepare_domain_attach_device"};

using Table = pgtable::RadixTable<pgtable::VtdSecondLevel>;

unsigned levels_for(unsigned address_width) {
    return (address_width - pgtable::VtdSecondLevel::kPageShift) /
           pgtable::VtdSecondLevel::kIndexBits;
}

// The domain is made for one device's IOMMU; a device behind another one fits when that IOMMU can
// walk the table and keep the promises already made.
class IntelDomain final : public Domain {
  public:
    IntelDomain(const Ops& ops, const Instance& instance, Table table)
        : Domain(ops, DomainType::unmanaged, instance.page_sizes,
                 {0, low_mask(instance.address_width)}),
          address_width_(instance.address_width),
          can_snoop_(instance.enforces_cache_coherency),
          table_(std::move(table)) {}

    Result<> attach_device(Device& device) override {
        const Instance& instance = device.instance();
        if (instance.address_width < address_width_) {
            return refuse(EINVAL, "the device's IOMMU has {} bits, the domain {}", kAttach,
                          instance.address_width, address_width_);
        }
        if (force_snooping_.load(std::memory_order_relaxed) && !instance.enforces_cache_coherency) {
            return refuse(EINVAL, "the domain forces snooping, the device's IOMMU cannot", kAttach);
        }
        if ((pgsize_bitmap() & ~instance.page_sizes) != 0) {
            return refuse(EINVAL, "the domain has page sizes {:x}, the device's IOMMU {:x}",
                          kAttach, pgsize_bitmap(), instance.page_sizes);
        }
        return {};
    }

    Mapped map_pages(std::uint64_t iova, PhysAddr address, std::uint64_t page_size,
                     std::uint64_t count, std::uint32_t protection, FaultPoints& faults) override {
        return table_.map_pages(iova, address, page_size, count, protection,
                                {.snoop = force_snooping_.load(std::memory_order_relaxed)}, faults);
    }
    std::uint64_t unmap_pages(std::uint64_t iova, std::uint64_t page_size,
                              std::uint64_t count) override {
        return table_.unmap_pages(iova, page_size, count);
    }
    PhysAddr iova_to_phys(std::uint64_t iova) const override { return table_.iova_to_phys(iova); }
    std::optional<Translation> translate(std::uint64_t iova) const override {
        return table_.translate(iova);
    }

    bool enforce_cache_coherency() override {
        if (can_snoop_) {
            force_snooping_.store(true, std::memory_order_relaxed);
        }
        return can_snoop_;
    }

  private:
    const unsigned address_width_;
    const bool can_snoop_;
    std::atomic<bool> force_snooping_{false};
    Table table_;
};

}  // namespace

Result<std::unique_ptr<Domain>> IntelOps::domain_alloc_paging(Device& device, FaultPoints& faults) {
    const Instance& instance = device.instance();
    const unsigned levels = levels_for(instance.address_width);
    return std::make_unique<IntelDomain>(*this, instance,
                                         TRY(Table::create(memory_, levels, levels, faults)));
}

}  // namespace kvmiommu::iommu
