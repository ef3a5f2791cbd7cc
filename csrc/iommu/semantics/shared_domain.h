// SPDX-License-Identifier: MIT
//
// A domain under one of the semantics of April 2015: an address space with one page table or
// several, which are made when devices are attached and freed when they are detached.
//
// It keeps a list of what is mapped, as VFIO and iommufd do one level higher, so that a table can
// be made at any time. Whatever is unmapped goes from all tables alike: a leaf that is larger in
// one of them goes whole from all.

#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <vector>

#include "base/base.h"
#include "iommu/device.h"
#include "iommu/domain.h"
#include "iommu/lock_order.h"
#include "iommu/ops.h"
#include "iommu/semantics/semantics.h"

namespace kvmiommu::iommu {

class SharedDomain final : public Domain {
  public:
    /// `driver_sizes` are the page sizes that all IOMMUs of `first`'s driver have in common.
    SharedDomain(Device& first, Rules rules, std::uint64_t driver_sizes);
    ~SharedDomain() override;

    /// EINVAL the semantics do not allow the device
    /// EINVAL its IOMMU cannot map what is mapped, in a way that the rules allow
    /// ENOMEM
    Result<> attach_device(Device& device) override EXCLUDES(mutex_);
    void detach_device(Device& device) override EXCLUDES(mutex_);
    bool spans_drivers() const override;

    Mapped map_pages(std::uint64_t iova, PhysAddr address, std::uint64_t page_size,
                     std::uint64_t count, std::uint32_t protection, FaultPoints& faults) override
        EXCLUDES(mutex_);
    std::uint64_t unmap_pages(std::uint64_t iova, std::uint64_t page_size,
                              std::uint64_t count) override EXCLUDES(mutex_);
    PhysAddr iova_to_phys(std::uint64_t iova) const override EXCLUDES(mutex_);
    std::optional<Translation> translate(std::uint64_t iova) const override EXCLUDES(mutex_);
    std::vector<WalkStep> walk(std::uint64_t iova) const override EXCLUDES(mutex_);
    std::uint64_t table_bytes() const override EXCLUDES(mutex_);
    bool enforce_cache_coherency() override EXCLUDES(mutex_);

    /// Bytes of each table.
    std::vector<std::uint64_t> tables() const EXCLUDES(mutex_);

  private:
    // A page table, the IOMMU that it was made for, and the devices that use it.
    struct Table {
        IommuDevice instance;  // with the page sizes that the table may use
        std::unique_ptr<Device> maker;
        std::unique_ptr<Domain> domain;
        std::vector<Device*> devices;

        // The page sizes that it can map, of which its driver may leave some out.
        std::uint64_t sizes() const { return instance.page_sizes & domain->pgsize_bitmap(); }
        Result<> map(std::uint64_t iova, PhysAddr address, std::uint64_t size,
                     std::uint32_t protection, FaultPoints& faults);
    };
    using Tables = std::vector<std::unique_ptr<Table>>;
    struct Mapping {
        std::uint64_t size;
        PhysAddr address;
        std::uint32_t protection;
    };

    // Do all devices of a driver share one table, with the page sizes that they have in common?
    bool shares() const;
    Result<> check_driver(const Device& device) const REQUIRES(mutex_);
    Result<> join(Device& device) REQUIRES(mutex_);
    Result<> share(Device& device) REQUIRES(mutex_);
    Result<> rebuild(Device& device, std::uint64_t sizes) REQUIRES(mutex_);
    Result<std::unique_ptr<Table>> make_table(Device& device, std::uint64_t sizes) const
        REQUIRES(mutex_);
    std::uint64_t sizes_in_use(const Table& table) const REQUIRES(mutex_);
    Table* table_of(const Device& device) REQUIRES(mutex_);
    static std::optional<Range> unmap_from(Domain& table, Range range);
    std::optional<Range> unmap_rest(Domain& table, Range whole, std::optional<Range> gone)
        REQUIRES(mutex_);
    void forget(Range range) REQUIRES(mutex_);
    void update_sizes() REQUIRES(mutex_);

    const Rules rules_;
    const std::uint64_t driver_sizes_;
    mutable Mutex mutex_{lock_order::kSharedDomain};
    Tables tables_ GUARDED_BY(mutex_);
    std::map<std::uint64_t, Mapping> mappings_ GUARDED_BY(mutex_);  // by iova
    mutable FaultPoints no_faults_;                                 // attach_device() has none
};

}  // namespace kvmiommu::iommu
