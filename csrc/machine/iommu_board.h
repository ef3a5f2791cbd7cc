// SPDX-License-Identifier: MIT
//
// IOMMUs, devices and domains without a machine around them, to try out what a domain may span
// (iommu/semantics/semantics.h).

#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/base.h"
#include "iommu/iommu.h"
#include "mm/physical_memory.h"

namespace kvmiommu::machine {

class IommuBoard {
  public:
    static Result<std::unique_ptr<IommuBoard>> create(iommu::Rules rules);
    IommuBoard(const IommuBoard&) = delete;
    IommuBoard& operator=(const IommuBoard&) = delete;

    /// EINVAL for a driver that is not known; EEXIST for a name that is.
    Result<> add_iommu(const std::string& driver, const iommu::Instance& instance);
    /// ENOENT for an IOMMU that is not known.
    Result<iommu::Device*> add_device(const std::string& name, const std::string& iommu);

    Result<std::unique_ptr<iommu::Domain>> domain(iommu::Device& device) {
        return device.ops().paging_domain_alloc(device, faults);
    }
    /// EINVAL for a device that the domain is not for (drivers/iommu/iommu.c:
    /// __iommu_attach_group), and what the domain says.
    static Result<> attach(iommu::Domain& domain, iommu::Device& device);

    /// Maps for a device alone; no domain is named. As iommu::map().
    Result<> map(iommu::Device& device, std::uint64_t iova, mm::PhysAddr address,
                 std::uint64_t size, std::uint32_t protection);
    /// EINVAL when the range does not lead to `address`; else the bytes that went.
    Result<std::uint64_t> unmap(iommu::Device& device, std::uint64_t iova, mm::PhysAddr address,
                                std::uint64_t size);
    mm::PhysAddr iova_to_phys(const iommu::Device& device, std::uint64_t iova) const;

    FaultPoints faults;

  private:
    IommuBoard(iommu::Rules rules, std::unique_ptr<mm::PhysicalMemory> memory)
        : rules_(rules), memory_(std::move(memory)) {}

    struct Unit {
        iommu::Ops* ops;
        iommu::Instance instance;
    };

    const iommu::Rules rules_;
    Census census_;
    const std::unique_ptr<mm::PhysicalMemory> memory_;
    std::map<std::string, std::unique_ptr<iommu::Ops>> drivers_;
    std::map<std::string, Unit> units_;
    std::vector<std::unique_ptr<iommu::Device>> devices_;
    std::map<const iommu::Device*, std::unique_ptr<iommu::Domain>> own_;  // of map() by device
};

}  // namespace kvmiommu::machine
