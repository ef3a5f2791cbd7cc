// SPDX-License-Identifier: MIT
//
// A running machine, created from its description (docs/how-to/write-a-machine.md).

#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/base.h"
#include "fs/kernel.h"
#include "iommu/iommu.h"
#include "kvm/module.h"
#include "machine/description.h"
#include "machine/lock_order.h"
#include "machine/process.h"
#include "mm/fork_generation.h"
#include "pci/function.h"
#include "spapr/spapr.h"
#include "vfio/module.h"

namespace kvmiommu::machine {

class System {
  public:
    /// EINVAL an IOMMU is of another architecture than the kernel
    /// EINVAL the page size is not a power of two from 4 KiB to 64 KiB
    /// EINVAL the longest contiguous block is shorter than a page
    /// and what mm::PhysicalMemory::create() says
    /// EINVAL an IOMMU driver is unknown
    /// For each PCI function:
    /// EINVAL its address is invalid
    /// EINVAL its IOMMU is unknown, or it is behind one and has no group
    /// EINVAL its group has devices behind an IOMMU of another driver
    /// EINVAL its model is unknown, or "host" and bound to vfio-pci
    /// and what pci::DeviceModel::plug() says
    /// and what iommu::Group::use_default_domain() says to a kernel driver
    /// EINVAL the group of an emulated device has another device
    static Result<std::unique_ptr<System>> create(const Description& description);
    ~System();

    fs::Kernel& kernel() { return kernel_; }
    const std::string& name() const { return name_; }

    /// The DMA faults of all devices.
    const iommu::FaultLog& dma_faults() const { return dma_faults_; }
    iommu::IotlbControl& iotlb() { return iotlb_; }

    /// The hardware of the PCI functions; null for one that has none.
    template <class Visit>
    void each_model(Visit&& visit) const {
        for (const auto& function : functions_) {
            visit(function->hardware.get());
        }
    }

    /// The windows of an IOMMU group by number, null if there is none. Empty for a group that
    /// cannot have windows.
    std::vector<Ref<spapr::HardwareTable>> windows(std::uint32_t group) const;

    /// A new process of user 0.
    /// EBADF the system is closed
    Result<std::shared_ptr<Process>> create_process() EXCLUDES(mutex_);
    /// Makes every process exit, and returns a line for each object that is still referenced: a
    /// leak.
    std::vector<std::string> close() EXCLUDES(mutex_);

  private:
    System(const Description& description, std::unique_ptr<mm::PhysicalMemory> memory);
    void load_vfio(const Description& description);
    Result<> add_iommus(const std::vector<IommuDescription>& iommus, iommu::Rules rules);
    Result<> add_model(pci::Function& function, const PciDescription& description, bool firmware);
    void find_buses();
    Result<> add_functions(const Description& machine);
    Result<> bind_driver(pci::Function& function);

    const std::string name_;
    fs::Kernel kernel_;
    std::map<std::string, std::unique_ptr<iommu::Ops>> drivers_;  // by name
    struct Unit {
        iommu::Ops* ops;
        iommu::IommuDevice instance;
    };
    std::map<std::string, Unit> units_;  // by the instance's name
    std::vector<std::unique_ptr<iommu::Device>> devices_;
    std::map<std::uint32_t, std::unique_ptr<iommu::Group>> groups_;
    iommu::FaultLog dma_faults_;
    iommu::IotlbControl iotlb_;
    std::vector<std::unique_ptr<pci::Function>> functions_;
    std::uint64_t next_bar_ = std::uint64_t{0xe0000000};  // the next address that is allocated
    std::uint64_t next_io_ = 0xc000;
    std::optional<vfio::Module> vfio_;
    std::optional<kvm::Module> kvm_;

    Mutex mutex_{lock_order::kProcesses};
    std::vector<std::weak_ptr<Process>> processes_ GUARDED_BY(mutex_);
    bool closed_ GUARDED_BY(mutex_) = false;
};

}  // namespace kvmiommu::machine
