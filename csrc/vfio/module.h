// SPDX-License-Identifier: MIT
//
// VFIO as it is loaded on a machine: module parameters, groups, devices and their nodes
// (drivers/vfio/vfio_main.c, container.c).

#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "fs/kernel.h"
#include "vfio/group.h"
#include "vfio/iommu_driver.h"

namespace kvmiommu::vfio {

/// Module parameters, by the kernel's names.
struct Options {
    std::uint32_t dma_entry_limit = 65535;    // vfio_iommu_type1: mappings of one container
    bool disable_hugepages = false;           // vfio_iommu_type1: map page by page
    bool allow_unsafe_interrupts = false;     // vfio_iommu_type1: without isolated interrupts
    bool enable_unsafe_noiommu_mode = false;  // vfio
};

class Module {
  public:
    /// Loads VFIO: makes /dev/vfio/vfio.
    Module(fs::Kernel& kernel, const Options& options);
    Module(const Module&) = delete;
    Module& operator=(const Module&) = delete;

    fs::Kernel& kernel() { return kernel_; }
    const Options& options() const { return options_; }
    /// The newest first: the order in which SET_IOMMU tries them.
    const std::vector<std::unique_ptr<IommuDriver>>& iommu_drivers() const { return drivers_; }

    // --- only while the machine is put together ---

    /// vfio_register_iommu_driver().
    void register_iommu_driver(std::unique_ptr<IommuDriver> driver);
    /// vfio_register_group_dev(), vfio_register_emulated_iommu_dev(): a device that is bound to
    /// `driver`. The first device of a group makes the node /dev/vfio/N or /dev/vfio/noiommu-N.
    /// Devices with the same `set_id` are one set (vfio_assign_device_set); null: a set of its own.
    void register_device(iommu::Group& group, GroupType type, const std::string& name,
                         std::unique_ptr<DeviceOps> driver, const void* set_id = nullptr);

  private:
    Group& group_of(iommu::Group& iommu_group, GroupType type);

    fs::Kernel& kernel_;
    const Options options_;
    std::vector<std::unique_ptr<IommuDriver>> drivers_;
    std::map<const void*, std::unique_ptr<DeviceSet>> device_sets_;  // outlive the devices
    std::vector<std::unique_ptr<Group>> groups_;
};

}  // namespace kvmiommu::vfio
