// SPDX-License-Identifier: MIT
//
// VFIO as it is loaded on a machine: module parameters, groups, devices, and the nodes for them.

#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "fs/kernel.h"
#include "pci/function.h"
#include "vfio/group.h"
#include "vfio/iommu_driver.h"

namespace kvmiommu::vfio {

/// Module parameters, by the kernel's names, and what the platform has.
struct Options {
    std::uint32_t dma_entry_limit = 65535;    // vfio_iommu_type1: mappings of one container
    bool disable_hugepages = false;           // vfio_iommu_type1: map page by page
    bool allow_unsafe_interrupts = false;     // vfio_iommu_type1: without isolated interrupts
    bool enable_unsafe_noiommu_mode = false;  // vfio
    bool eeh = false;                         // the platform handles errors of endpoints (EEH)
};

class Module {
  public:
    /// Loads VFIO: makes /dev/vfio/vfio.
    Module(fs::Kernel& kernel, const Options& options);
    Module(const Module&) = delete;
    Module& operator=(const Module&) = delete;

    fs::Kernel& kernel() { return kernel_; }
    const Options& options() const { return options_; }
    /// The newest first, as SET_IOMMU asks them.
    const std::vector<std::unique_ptr<IommuDriver>>& iommu_drivers() const { return drivers_; }

    /// Binds a function to vfio-pci: it joins its group, whose /dev/vfio/N is made with the first.
    /// One behind no IOMMU has a group of its own, /dev/vfio/noiommu-N. Only while the machine is
    /// put together.
    void bind(const pci::Function& function);
    /// Adds an emulated device to a group of its own: /dev/vfio/N. Only while the machine is put
    /// together.
    void add_emulated(const std::string& name, iommu::Group& group);

  private:
    Group& group_of(iommu::Group& iommu_group, GroupType type);

    fs::Kernel& kernel_;
    const Options options_;
    std::vector<std::unique_ptr<IommuDriver>> drivers_;
    std::vector<std::unique_ptr<Group>> groups_;
};

}  // namespace kvmiommu::vfio
