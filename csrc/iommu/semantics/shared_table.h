// SPDX-License-Identifier: MIT
//
// One page table of a SharedDomain. It is a domain of a driver's own, made for an IOMMU that may be
// none of the machine's: what several of them can all do.

#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "base/base.h"
#include "iommu/device.h"
#include "iommu/domain.h"
#include "iommu/map.h"
#include "iommu/ops.h"
#include "iommu/semantics/mapping_list.h"
#include "iommu/semantics/range_set.h"

namespace kvmiommu::iommu {

/// What both IOMMUs can do. They are of one driver, and have tables of one stage.
IommuDevice in_common(IommuDevice one, const IommuDevice& other);
/// Can a table for one of them be one for the other?
bool are_alike(const IommuDevice& one, const IommuDevice& other);

class SharedTable {
  public:
    /// What an unmap has taken from the table so far, and what it returns for this table.
    struct Taken {
        RangeSet iovas;
        std::uint64_t bytes = 0;
    };

    /// A table for an IOMMU, with all mappings of a list in it. `apart`: see below.
    /// EINVAL a mapping is beyond its iovas, or no multiple of its pages
    /// EINVAL `snoops` is asked for, and the IOMMU cannot
    /// EINVAL the driver has no page sizes for it
    /// ENOMEM
    /// or as the driver's Domain::attach_device()
    static Result<std::unique_ptr<SharedTable>> create(Ops& ops, const IommuDevice& iommu,
                                                       bool apart, bool snoops,
                                                       const MappingList& list,
                                                       FaultPoints& faults);
    SharedTable(const SharedTable&) = delete;
    SharedTable& operator=(const SharedTable&) = delete;

    const Ops& ops() const { return device_.ops(); }
    const IommuDevice& iommu() const { return iommu_; }
    /// The driver's domain.
    Domain& domain() { return *domain_; }
    const Domain& domain() const { return *domain_; }

    /// The sizes of the pages that mappings are in.
    std::uint64_t sizes_in_use(const MappingList& list) const;
    /// Of the page sizes of the domain that the table is part of, those it has. A table that has
    /// none of them uses its own.
    std::uint64_t sizes_of(std::uint64_t page_sizes) const;

    /// As iommu::map(), with pages of `mapping.page_sizes` alone; nothing is invalidated.
    /// ERANGE beyond the iovas of the IOMMU
    Result<> map(std::uint64_t iova, const Mapping& mapping, FaultPoints& faults);
    /// As iommu::unmap(), with pages of `page_sizes` alone. `list` is what was mapped before
    /// anything was taken.
    void unmap(std::uint64_t iova, std::uint64_t size, std::uint64_t page_sizes,
               const MappingList& list, Taken& taken, FaultPoints& faults);
    /// Unmaps all of a set, which is mapped or taken. Of leaves that no part can be unmapped of,
    /// all goes.
    void take(const RangeSet& set, std::uint64_t page_sizes, const MappingList& list, Taken& taken,
              FaultPoints& faults);

    std::vector<Device*> devices;
    /// It has page sizes of its own, whatever the domain's are.
    bool apart = false;

  private:
    SharedTable(Ops& ops, const IommuDevice& iommu)
        : iommu_(iommu), device_(iommu.name, ops, iommu_) {}

    std::uint64_t unmap_pages(std::uint64_t iova, PageChoice choice, const MappingList& list,
                              RangeSet& taken, FaultPoints& faults);
    std::vector<Range> leaves(Range range, const MappingList& list, const RangeSet& taken) const;

    const IommuDevice iommu_;
    Device device_;  // stands for all that use the table
    std::unique_ptr<Domain> domain_;
};

}  // namespace kvmiommu::iommu
