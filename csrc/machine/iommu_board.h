// SPDX-License-Identifier: MIT
//
// IOMMUs, devices and domains without a machine, to try out which devices a domain may span
// (iommu/semantics/semantics.h; drivers/iommu/iommu.c).

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
    /// What mm::PhysicalMemory::create() says.
    static Result<std::unique_ptr<IommuBoard>> create(iommu::Rules rules);
    IommuBoard(const IommuBoard&) = delete;
    IommuBoard& operator=(const IommuBoard&) = delete;

    /// EEXIST there is an IOMMU of that name
    /// EINVAL the driver is unknown
    Result<> add_iommu(const std::string& driver, const iommu::IommuDevice& instance);
    /// ENOENT there is no IOMMU of that name
    Result<iommu::Device*> add_device(const std::string& name, const std::string& iommu);

    /// What Ops::paging_domain_alloc() says.
    Result<std::unique_ptr<iommu::Domain>> domain(iommu::Device& device) {
        return device.ops().paging_domain_alloc(device, faults);
    }
    /// (drivers/iommu/iommu.c: __iommu_attach_group)
    /// EINVAL the domain and the device have different drivers, and it does not span drivers
    /// and what Domain::attach_device() says
    Result<> attach(iommu::Domain& domain, iommu::Device& device);
    /// Maps for a device without a domain.
    /// and what domain() and Domain::attach_device() say, for the first map of a device
    /// and what iommu::map() says
    Result<> map(iommu::Device& device, std::uint64_t iova, mm::PhysAddr address,
                 std::uint64_t size, std::uint32_t protection);
    /// Unmaps what maps the whole range to [address, address + size). Returns the bytes unmapped.
    /// EINVAL a page of it is not mapped, or to another address
    Result<std::uint64_t> unmap(iommu::Device& device, std::uint64_t iova, mm::PhysAddr address,
                                std::uint64_t size);
    mm::PhysAddr iova_to_phys(const iommu::Device& device, std::uint64_t iova) const;

    FaultPoints faults;

  private:
    IommuBoard(iommu::Rules rules, std::unique_ptr<mm::PhysicalMemory> memory)
        : rules_(rules), memory_(std::move(memory)) {}

    struct Unit {
        iommu::Ops* ops;
        iommu::IommuDevice instance;
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
