// SPDX-License-Identifier: MIT

#include "iommu/drivers/smmu_v3.h"

#include <algorithm>
#include <utility>

#include "iommu/pgtable/armv8.h"
#include "iommu/pgtable/table_domain.h"

namespace kvmiommu::iommu {

namespace {

using pgtable::PartialUnmap;

// Whatever io-pgtable finds wrong, there is no table, and the driver takes that for want of memory.
constexpr Source kAlloc{"drivers/iommu/arm/arm-smmu-v3/arm-smmu-v3.c: arm_smmu_domain_finalise"};
constexpr Source kAttach{"drivers/iommu/arm/arm-smmu-v3/arm-smmu-v3.c: arm_smmu_attach_dev"};

// Until 6.13 a part of a block can be unmapped (drivers/iommu/io-pgtable-arm.c:
// arm_lpae_split_blk_unmap).
constexpr pgtable::TablePolicy kPolicy{.partial_unmap = PartialUnmap::split};

template <pgtable::Format F>
class SmmuDomain final : public pgtable::TableDomain<F> {
  public:
    using Table = pgtable::RadixTable<F>;

    static Result<std::unique_ptr<Domain>> create(const Ops& ops, mm::PhysicalMemory& memory,
                                                  const Instance& instance,
                                                  std::uint64_t page_sizes, FaultPoints& faults) {
        const unsigned bits = std::min(instance.address_width, F::kOutputBits);
        auto table = TRY(Table::create(memory, pgtable::shape_for<F>(bits, kPolicy), faults));
        return std::unique_ptr<Domain>(
            new SmmuDomain(ops, instance, page_sizes, bits, std::move(table)));
    }

    // A domain belongs to the SMMU that it was made for: its tables are named in that one's stream
    // table, and invalidations go there alone.
    Result<> attach_device(Device& device) override {
        if (&device.instance() != &instance_) {
            return refuse(EINVAL, "the domain belongs to another SMMU than the device is behind",
                          kAttach);
        }
        return {};
    }

  private:
    SmmuDomain(const Ops& ops, const Instance& instance, std::uint64_t page_sizes, unsigned bits,
               Table table)
        : pgtable::TableDomain<F>(ops, page_sizes, {0, low_mask(bits)}, std::move(table),
                                  attributes_of(instance)),
          instance_(instance) {
        if (pgtable::HasDirty<F> && instance.dirty_tracking) {
            this->allow_dirty_tracking();
        }
    }

    static typename F::Attributes attributes_of(const Instance& instance) {
        typename F::Attributes attributes{};
        if constexpr (requires { attributes.hardware_dirty; }) {
            attributes.hardware_dirty = instance.dirty_tracking;
        }
        return attributes;
    }

    const Instance& instance_;
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
                                              const Instance& instance, std::uint64_t sizes,
                                              FaultPoints& faults) {
    const std::uint64_t page_sizes = instance.page_sizes & sizes;
    if (instance.stage == 2) {
        return SmmuDomain<pgtable::ArmV8Stage2Of<kGranuleShift>>::create(ops, memory, instance,
                                                                         page_sizes, faults);
    }
    return SmmuDomain<pgtable::ArmV8Stage1Of<kGranuleShift>>::create(ops, memory, instance,
                                                                     page_sizes, faults);
}

constexpr std::uint64_t size(unsigned shift) {
    return std::uint64_t{1} << shift;
}

}  // namespace

Result<std::unique_ptr<Domain>> SmmuV3Ops::domain_alloc_paging(Device& device,
                                                               FaultPoints& faults) {
    const Instance& instance = device.instance();
    switch (granule_for(instance.page_sizes, page_size_)) {
        case size(12):
            return create_domain<12>(*this, memory_, instance, size(12) | size(21) | size(30),
                                     faults);
        case size(14):
            return create_domain<14>(*this, memory_, instance, size(14) | size(25), faults);
        case size(16):
            return create_domain<16>(*this, memory_, instance, size(16) | size(29), faults);
        default:
            return refuse(ENOMEM, "page sizes {:x} have no granule for pages of {:x}", kAlloc,
                          instance.page_sizes, page_size_);
    }
}

}  // namespace kvmiommu::iommu
