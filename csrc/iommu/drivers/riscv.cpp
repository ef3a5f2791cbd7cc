// SPDX-License-Identifier: MIT

#include "iommu/drivers/riscv.h"

#include <utility>

#include "iommu/pgtable/riscv64.h"
#include "iommu/pgtable/table_domain.h"

namespace kvmiommu::iommu {

namespace {

constexpr Source kAttach{"drivers/iommu/riscv/iommu.c: riscv_iommu_attach_paging_domain"};

// An unmap that begins inside of a page ends there; one that ends inside of it takes all of it
// (riscv_iommu_unmap_pages).
constexpr pgtable::TablePolicy kPolicy{.partial_unmap = pgtable::PartialUnmap::whole_from_start};

using RiscVTableDomain = pgtable::TableDomain<pgtable::RiscV64>;

// Sv39, Sv48 or Sv57, whichever the IOMMU has at most.
class RiscVDomain final : public RiscVTableDomain {
  public:
    // Addresses are sign-extended, and the driver keeps to the lower half: one bit less
    // (riscv_iommu_alloc_paging_domain).
    RiscVDomain(const Ops& ops, const IommuDevice& instance, Table table)
        : RiscVTableDomain(ops, instance.page_sizes, {0, low_mask(instance.address_width - 1)},
                           std::move(table)),
          address_width_(instance.address_width) {}

    // Any IOMMU will do that can walk as many levels.
    Result<> attach_device(Device& device, FaultPoints&) override {
        if (device.iommu_device().address_width < address_width_) {
            return refuse(ENODEV, "the domain's tables have {} bits, the device's IOMMU walks {}",
                          kAttach, address_width_, device.iommu_device().address_width);
        }
        return {};
    }

  private:
    const unsigned address_width_;
};

}  // namespace

Result<std::unique_ptr<Domain>> RiscVOps::domain_alloc_paging(Device& device, FaultPoints& faults) {
    const IommuDevice& instance = device.iommu_device();
    auto shape = pgtable::shape_for<pgtable::RiscV64>(instance.address_width, kPolicy);
    shape.iova_bits = instance.address_width - 1;
    return std::make_unique<RiscVDomain>(*this, instance,
                                         TRY(RiscVDomain::Table::create(memory_, shape, faults)));
}

}  // namespace kvmiommu::iommu
