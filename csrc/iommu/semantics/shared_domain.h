// SPDX-License-Identifier: MIT
//
// A domain under one of the semantics of April 2015 (semantics.h): an address space with one page
// table or several.
//
// What it can do follows from the IOMMUs whose devices are attached, never from the order in which
// they came: each table is made for what its IOMMUs have in common, and made anew from the list of
// mappings when that changes. Pages stay as large as they were mapped, unless the rules say that
// all is mapped anew.
//
// An unmap does to each table what its driver does. Whatever that takes from one of them then goes
// from all, as leaves of the others if they cannot do less: a device reaches the same through each.

#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <set>
#include <vector>

#include "base/base.h"
#include "iommu/device.h"
#include "iommu/domain.h"
#include "iommu/lock_order.h"
#include "iommu/ops.h"
#include "iommu/semantics/driver_sizes.h"
#include "iommu/semantics/mapping_list.h"
#include "iommu/semantics/semantics.h"
#include "iommu/semantics/shared_table.h"

namespace kvmiommu::iommu {

class SharedDomain final : public Domain {
  public:
    /// A domain made for the IOMMU of `first`, which is not attached.
    SharedDomain(Device& first, Rules rules, std::shared_ptr<DriverSizes> driver_sizes);
    ~SharedDomain() override;

    /// EINVAL the semantics do not allow the device
    /// EINVAL its IOMMU cannot map what is mapped, in a way that the rules allow
    /// ENOMEM
    /// or as the driver's Domain::attach_device()
    Result<> attach_device(Device& device, FaultPoints& faults) override EXCLUDES(mutex_);
    /// The last table stays, with all that is mapped.
    void detach_device(Device& device) override EXCLUDES(mutex_);
    bool spans_drivers() const override;

    /// ENODEV no device was attached yet
    /// ERANGE beyond the iovas of one of the IOMMUs
    /// or as iommu::map()
    Result<> map_range(std::uint64_t iova, PhysAddr address, std::uint64_t size,
                       std::uint32_t protection, FaultPoints& faults) override EXCLUDES(mutex_);
    /// Returns the bytes of the table that lost most, from the first byte of the first leaf that
    /// went.
    Unmapped unmap_range(std::uint64_t iova, std::uint64_t size, FaultPoints& faults) override
        EXCLUDES(mutex_);
    Mapped map_pages(std::uint64_t iova, PhysAddr address, std::uint64_t page_size,
                     std::uint64_t count, std::uint32_t protection, FaultPoints& faults) override;
    std::uint64_t unmap_pages(std::uint64_t iova, std::uint64_t page_size, std::uint64_t count,
                              FaultPoints& faults) override;
    PhysAddr iova_to_phys(std::uint64_t iova) const override EXCLUDES(mutex_);
    std::optional<Translation> translate(std::uint64_t iova) const override EXCLUDES(mutex_);
    std::vector<WalkStep> walk(std::uint64_t iova) const override EXCLUDES(mutex_);
    std::uint64_t table_bytes() const override EXCLUDES(mutex_);
    bool enforce_cache_coherency() override EXCLUDES(mutex_);

    /// Where an iova of an attached device leads; 0: nowhere.
    PhysAddr iova_to_phys_of(const Device& device, std::uint64_t iova) const EXCLUDES(mutex_);
    /// Bytes of each table.
    std::vector<std::uint64_t> tables() const EXCLUDES(mutex_);
    /// The driver's IOMMUs have these in common now.
    void set_driver_sizes(std::uint64_t sizes) EXCLUDES(mutex_);

  private:
    using Tables = std::vector<std::unique_ptr<SharedTable>>;

    // Do all IOMMUs of the domain use the page sizes that they have in common, in one table for
    // each driver?
    bool shares() const;
    AttachAfterMap after_map() const;
    Result<> check_allowed(const Device& device) const REQUIRES(mutex_);
    SharedTable* table_of(const Device& device) const REQUIRES(mutex_);
    SharedTable* table_with(const Device& device) const REQUIRES(mutex_);
    Result<> share(Device& device, FaultPoints& faults) REQUIRES(mutex_);
    Result<> join(Device& device, FaultPoints& faults) REQUIRES(mutex_);
    Result<> add_table(Device& device, bool apart, FaultPoints& faults) REQUIRES(mutex_);
    Result<> rebuild(Device& device, std::uint64_t sizes, FaultPoints& faults) REQUIRES(mutex_);
    Result<> reshape(Device* joining, std::uint64_t sizes, bool all, FaultPoints& faults)
        REQUIRES(mutex_);
    void drop_unused() REQUIRES(mutex_);
    std::uint64_t common_sizes(const Device* joining) const REQUIRES(mutex_);
    IommuDevice common_iommu(const std::vector<Device*>& devices, std::uint64_t sizes) const
        REQUIRES(mutex_);
    std::uint64_t usable_sizes() const REQUIRES(mutex_);
    void update() REQUIRES(mutex_);

    const Rules rules_;
    const std::shared_ptr<DriverSizes> all_driver_sizes_;
    // The IOMMU that the domain was made for, and a device that stands for those behind it.
    const IommuDevice& made_for_;
    Device maker_;

    mutable Mutex mutex_{lock_order::kSharedDomain};
    std::uint64_t driver_sizes_ GUARDED_BY(mutex_);
    bool snoops_ GUARDED_BY(mutex_) = false;
    Tables tables_ GUARDED_BY(mutex_);
    MappingList mappings_ GUARDED_BY(mutex_);
    // IOMMUs that the driver's own domain for made_for_ is none for.
    std::set<const IommuDevice*> unfit_ GUARDED_BY(mutex_);
};

}  // namespace kvmiommu::iommu
