// SPDX-License-Identifier: MIT
//
// The driver vfio-pci: the requests of a device's descriptor, and access to its regions.
// Rules: drivers/vfio/pci/vfio_pci_core.c; features: drivers/vfio/vfio_main.c.

#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "base/base.h"
#include "fs/ioctl.h"
#include "pci/function.h"
#include "uapi/vfio.h"
#include "vfio/device_ops.h"
#include "vfio/lock_order.h"
#include "vfio/pci/pci_config.h"
#include "vfio/pci/pci_irqs.h"
#include "vfio/pci/pci_regions.h"

namespace kvmiommu::vfio {

class PciDevice final : public DeviceOps {
  public:
    PciDevice(fs::Kernel& kernel, const pci::Function& function);

    /// What match_pci_name() says.
    Result<bool> match(std::string_view name) const override;
    /// Both reset the function if it can be reset. (vfio_pci_core_enable, vfio_pci_core_disable)
    void open() override;
    void close() override EXCLUDES(mutex_);

    /// ENOTTY the request is unknown
    /// EFAULT the request's struct cannot be read
    /// EINVAL argsz is below the smallest struct of the request
    /// and what the request says, below
    /// EFAULT the struct cannot be written back
    Result<std::int64_t> ioctl(fs::Task& task, std::uint32_t command,
                               std::uint64_t argument) override;
    /// No bytes always succeed.
    /// EINVAL the device has no such region
    /// EINVAL a write to the ROM
    /// and what PciConfig and PciRegions say
    Result<std::int64_t> read(fs::Task& task, fs::UserBuffer to, std::uint64_t offset) override;
    Result<std::int64_t> write(fs::Task& task, fs::UserBuffer from, std::uint64_t offset) override;
    /// What PciRegions::map() says.
    Result<fs::FileMapping> map(fs::Task& task, Ref<fs::File> file,
                                const fs::FileMapRequest& request) override;
    bool enforced_coherent() const override;

    // --- requests ---

    /// Does not fail.
    Result<std::int64_t> get_info(fs::Block<uapi::vfio_device_info> info);
    /// EINVAL the device has no such region
    /// EFAULT the capability of the MSI-X table cannot be written
    Result<std::int64_t> get_region_info(fs::Block<uapi::vfio_region_info> info);
    /// EINVAL the device has no interrupts of this index
    Result<std::int64_t> get_irq_info(fs::Block<uapi::vfio_irq_info> info);
    /// EINVAL the index or a flag is unknown, or start + count wraps
    /// EINVAL the index has fewer interrupts
    /// EINVAL the flags name not exactly one type of data
    /// EINVAL argsz has no room for the data
    /// EFAULT the data cannot be read
    /// and what PciIrqs::set() says
    Result<std::int64_t> set_irqs(fs::Block<uapi::vfio_irq_set> set);
    /// EINVAL the function cannot be reset by itself
    Result<std::int64_t> reset(fs::Task& task, std::uint64_t argument);
    /// ENODEV the bus cannot be reset
    /// EFAULT argsz has no room for all functions of the bus, and the count cannot be written
    /// ENOSPC argsz has no room for them; the count is written
    /// EPERM one of them has no IOMMU group
    /// EFAULT the list of functions cannot be written
    Result<std::int64_t> get_hot_reset_info(fs::Block<uapi::vfio_pci_hot_reset_info> info);
    /// EINVAL flags are set, or no group is named
    /// ENODEV the bus cannot be reset
    /// EINVAL more groups are named than the bus has functions
    /// EFAULT the descriptors cannot be read
    /// EBADF a descriptor is not open
    /// EINVAL a descriptor is not a group
    /// and what DeviceSet::begin() says
    /// EINVAL a function of the bus is not bound to vfio-pci, or in none of the groups
    Result<std::int64_t> hot_reset(fs::Block<uapi::vfio_pci_hot_reset> request);
    /// EINVAL the flags are not exactly one width, or the descriptor is below -1
    /// EINVAL the store is not within a BAR
    /// EINVAL the store meets the MSI-X table
    /// EEXIST the same store has an eventfd
    /// ENODEV descriptor -1, and the store has no eventfd
    /// ENOSPC the device has 1000 eventfds
    /// and what get_eventfd() says
    Result<std::int64_t> ioeventfd(fs::Block<uapi::vfio_device_ioeventfd> request) EXCLUDES(mutex_);
    /// With VFIO_DEVICE_FEATURE_PROBE only the first four.
    /// EINVAL unknown flags
    /// EINVAL GET and SET without PROBE
    /// ENOTTY the device does not have the feature
    /// EINVAL the feature cannot be got, or not be set, as the flags request
    /// EINVAL neither GET nor SET
    /// EINVAL argsz has no room for the feature's data
    /// EFAULT the feature's data cannot be read
    /// EBADF the wakeup descriptor is not open
    /// EINVAL the wakeup descriptor is not an eventfd
    /// EINVAL entry: the device is in low power already
    Result<std::int64_t> feature(fs::Block<uapi::vfio_device_feature> request) EXCLUDES(mutex_);

  private:
    struct IoEventfd {
        std::uint64_t offset;  // into the device's file
        std::uint64_t data;
        std::uint32_t width;
        Ref<Virqfd> virqfd{"vfio_pci.ioeventfd"};
    };

    Result<std::int64_t> access(fs::Task& task, fs::UserBuffer buffer, std::uint64_t offset,
                                bool write);
    Result<> check_hot_reset() const;
    Result<> set_low_power(bool on) EXCLUDES(mutex_);

    fs::Kernel& kernel_;
    const pci::Function& function_;
    PciIrqs irqs_;
    PciConfig config_{function_, irqs_};
    PciRegions regions_{kernel_, function_, config_};
    std::vector<std::byte> saved_;  // configuration space at the first open

    Mutex mutex_{lock_order::kPciDevice};
    std::vector<IoEventfd> ioeventfds_ GUARDED_BY(mutex_);
    bool low_power_ GUARDED_BY(mutex_) = false;
};

}  // namespace kvmiommu::vfio
