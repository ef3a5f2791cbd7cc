// SPDX-License-Identifier: MIT
//
// What vfio-pci makes of a PCI function: the requests of a device's descriptor and its regions.
// Rules: drivers/vfio/pci/vfio_pci_core.c; features: drivers/vfio/vfio_main.c.

#pragma once

#include <cstddef>
#include <cstdint>
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

    /// The function is reset where that can be done. (vfio_pci_core_enable, vfio_pci_core_disable)
    void open() override;
    void close() override EXCLUDES(mutex_);

    Result<std::int64_t> ioctl(fs::Task& task, std::uint32_t command,
                               std::uint64_t argument) override;
    Result<std::int64_t> read(fs::Task& task, fs::UserBuffer to, std::uint64_t offset) override;
    Result<std::int64_t> write(fs::Task& task, fs::UserBuffer from, std::uint64_t offset) override;
    Result<fs::FileMapping> map(fs::Task& task, Ref<fs::File> file,
                                const fs::FileMapRequest& request) override;
    bool enforced_coherent() const override;

    Result<std::int64_t> get_info(fs::Block<uapi::vfio_device_info> info);
    /// EINVAL no such region.
    Result<std::int64_t> get_region_info(fs::Block<uapi::vfio_region_info> info);
    /// EINVAL no such interrupt.
    Result<std::int64_t> get_irq_info(fs::Block<uapi::vfio_irq_info> info);
    /// EINVAL numbers or flags that cannot be; EFAULT; else PciIrqs::set().
    Result<std::int64_t> set_irqs(fs::Block<uapi::vfio_irq_set> set);
    /// EINVAL the function cannot be reset by itself.
    Result<std::int64_t> reset(fs::Task& task, std::uint64_t argument);
    /// ENODEV nothing can reset the bus; ENOSPC, with the count, no room for all its functions;
    /// EPERM one of them has no group.
    Result<std::int64_t> get_hot_reset_info(fs::Block<uapi::vfio_pci_hot_reset_info> info);
    /// EINVAL flags, no descriptors or more than functions, one that is no group, or a function
    /// that is not in these groups or not bound to vfio-pci; ENODEV as above; EBADF, EFAULT;
    /// DeviceSet::begin().
    Result<std::int64_t> hot_reset(fs::Block<uapi::vfio_pci_hot_reset> request);
    /// EINVAL flags, no BAR, past its end or in the MSI-X table; EEXIST; ENODEV nothing to take
    /// away; ENOSPC; EBADF or EINVAL no eventfd.
    Result<std::int64_t> ioeventfd(fs::Block<uapi::vfio_device_ioeventfd> request) EXCLUDES(mutex_);
    /// EINVAL flags; ENOTTY a feature that the device does not have.
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
