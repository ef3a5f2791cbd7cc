// SPDX-License-Identifier: MIT

#include "iommu/drivers/smmu_v3.h"

#include <algorithm>
#include <utility>

#include "iommu/pgtable/armv8.h"
#include "iommu/pgtable/table_domain.h"

namespace kvmiommu::iommu {

namespace {

using pgtable::PartialUnmap;

// Whatever io-pgtable refuses, the driver returns ENOMEM.
constexpr Source kAlloc{"drivers/iommu/arm/arm-smmu-v3/arm-smmu-v3.c: arm_smmu_domain_finalise"};
constexpr Source kAllocUser{
    "drivers/iommu/arm/arm-smmu-v3/arm-smmu-v3.c: arm_smmu_domain_alloc_user"};
constexpr Source kNesting{"drivers/iommu/arm/arm-smmu-v3/arm-smmu-v3.c: arm_smmu_enable_nesting"};
constexpr Source kAttach{"drivers/iommu/arm/arm-smmu-v3/arm-smmu-v3.c: arm_smmu_attach_dev"};

// Until 6.13 a part of a block can be unmapped (drivers/iommu/io-pgtable-arm.c:
// arm_lpae_split_blk_unmap).
constexpr pgtable::TablePolicy kPolicy{.partial_unmap = PartialUnmap::split};

template <pgtable::Format F>
class SmmuDomain final : public pgtable::TableDomain<F> {
  public:
    using Table = pgtable::RadixTable<F>;

    static Result<std::unique_ptr<Domain>> create(const Ops& ops, mm::PhysicalMemory& memory,
                                                  const IommuDevice& instance,
                                                  std::uint64_t page_sizes, bool dirty_tracking,
                                                  FaultPoints& faults) {
        const unsigned bits = std::min(instance.address_width, F::kOutputBits);
        auto table = TRY(Table::create(memory, pgtable::shape_for<F>(bits, kPolicy), faults));
        return std::unique_ptr<Domain>(
            new SmmuDomain(ops, instance, page_sizes, bits, dirty_tracking, std::move(table)));
    }

    // A domain belongs to the SMMU that it was allocated for: invalidations go to that one alone.
    Result<> attach_device(Device& device, FaultPoints&) override {
        if (&device.iommu_device() != &instance_) {
            return refuse(EINVAL, "the domain belongs to another SMMU than the device is behind",
                          kAttach);
        }
        return {};
    }

  private:
    SmmuDomain(const Ops& ops, const IommuDevice& instance, std::uint64_t page_sizes, unsigned bits,
               bool dirty_tracking, Table table)
        : pgtable::TableDomain<F>(ops, page_sizes, {0, low_mask(bits)}, std::move(table),
                                  attributes_of(dirty_tracking)),
          instance_(instance) {
        if (dirty_tracking) {
            this->allow_dirty_tracking();
        }
    }

    static typename F::Attributes attributes_of(bool dirty_tracking) {
        typename F::Attributes attributes{};
        if constexpr (requires { attributes.hardware_dirty; }) {
            attributes.hardware_dirty = dirty_tracking;
        }
        return attributes;
    }

    const IommuDevice& instance_;
};

// The granule: the kernel's page, if the SMMU has it; else the next smaller one, else a larger one
// (drivers/iommu/io-pgtable-arm.c: arm_lpae_restrict_pgsizes).
std::uint64_t granule_for(std::uint64_t page_sizes, std::uint64_t page_size) {
    if ((page_sizes & page_size) != 0) {
        return page_size;
    }
    const std::uint64_t smaller = page_sizes & (page_size - 1);
    return smaller != 0 ? highest_bit(smaller) : lowest_bit(page_sizes & ~(page_size - 1));
}

template <unsigned kGranuleShift>
Result<std::unique_ptr<Domain>> create_domain(const Ops& ops, mm::PhysicalMemory& memory,
                                              const IommuDevice& instance, std::uint64_t sizes,
                                              bool dirty_tracking, FaultPoints& faults) {
    const std::uint64_t page_sizes = instance.page_sizes & sizes;
    if (instance.stage == 2) {
        return SmmuDomain<pgtable::ArmV8Stage2Of<kGranuleShift>>::create(ops, memory, instance,
                                                                         page_sizes, false, faults);
    }
    return SmmuDomain<pgtable::ArmV8Stage1Of<kGranuleShift>>::create(
        ops, memory, instance, page_sizes, dirty_tracking, faults);
}

constexpr std::uint64_t size(unsigned shift) {
    return std::uint64_t{1} << shift;
}

}  // namespace

// (arm_smmu_capable) Tables and DMA of described machines are coherent.
bool SmmuV3Ops::capable(const Device& device, Capability capability) const {
    switch (capability) {
        case Capability::cache_coherency:
        case Capability::noexec:
        case Capability::deferred_flush:
            return true;
        case Capability::dirty_tracking:
            return device.iommu_device().dirty_tracking;
        case Capability::enforce_cache_coherency:
        case Capability::pre_boot_protection:
            break;
    }
    return false;
}

Result<> SmmuV3Ops::enable_nesting(Domain&) {
    return refuse(EPERM, "the domain has the stage of the SMMU that it was made for", kNesting);
}

Result<std::unique_ptr<Domain>> SmmuV3Ops::domain_alloc_paging(Device& device,
                                                               FaultPoints& faults) {
    return make_domain(device.iommu_device(), false, faults);
}

Result<std::unique_ptr<Domain>> SmmuV3Ops::domain_alloc_tracking(Device& device,
                                                                 FaultPoints& faults) {
    if (device.iommu_device().stage == 2) {
        return refuse(EOPNOTSUPP, "tables of stage 2 do not track writes", kAllocUser);
    }
    return make_domain(device.iommu_device(), true, faults);
}

Result<std::unique_ptr<Domain>> SmmuV3Ops::make_domain(const IommuDevice& instance,
                                                       bool dirty_tracking, FaultPoints& faults) {
    switch (granule_for(instance.page_sizes, page_size_)) {
        case size(12):
            return create_domain<12>(*this, memory_, instance, size(12) | size(21) | size(30),
                                     dirty_tracking, faults);
        case size(14):
            return create_domain<14>(*this, memory_, instance, size(14) | size(25), dirty_tracking,
                                     faults);
        case size(16):
            return create_domain<16>(*this, memory_, instance, size(16) | size(29), dirty_tracking,
                                     faults);
        default:
            return refuse(ENOMEM, "page sizes {:x} have no granule for pages of {:x}", kAlloc,
                          instance.page_sizes, page_size_);
    }
}

}  // namespace kvmiommu::iommu
