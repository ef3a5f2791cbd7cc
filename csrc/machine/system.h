// SPDX-License-Identifier: MIT
//
// A running machine.

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
    /// EINVAL: page size, RAM or fragmentation that cannot be, an IOMMU driver or reference that
    /// is not known; ENOMEM: no room on the host.
    static Result<std::unique_ptr<System>> create(const Description& description);
    ~System();

    fs::Kernel& kernel() { return kernel_; }
    const std::string& name() const { return name_; }

    /// What devices tried to reach and could not.
    const iommu::FaultLog& dma_faults() const { return dma_faults_; }
    iommu::IotlbControl& iotlb() { return iotlb_; }

    /// The hardware of the PCI functions; null for one that has none.
    template <class Visit>
    void each_model(Visit&& visit) const {
        for (const auto& function : functions_) {
            visit(function->hardware.get());
        }
    }

    /// The windows of an IOMMU group, by their numbers; null where there is none. Nothing for a
    /// group that has no windows.
    std::vector<Ref<spapr::HardwareTable>> windows(std::uint32_t group) const;

    /// A new process of user 0. EBADF after close().
    Result<std::shared_ptr<Process>> create_process() EXCLUDES(mutex_);

    /// Every process exits; returns what is still referenced, a line an object. Nothing, unless
    /// there is a leak.
    std::vector<std::string> close() EXCLUDES(mutex_);

  private:
    System(const Description& description, std::unique_ptr<mm::PhysicalMemory> memory);
    void load_vfio(const Description& description);
    Result<> add_iommus(const std::vector<IommuDescription>& iommus, iommu::Rules rules);
    Result<> add_model(pci::Function& function, const PciDescription& description);
    void find_buses();
    Result<> add_functions(const std::vector<PciDescription>& functions);
    Result<> bind_driver(pci::Function& function);

    const std::string name_;
    fs::Kernel kernel_;
    std::map<std::string, std::unique_ptr<iommu::Ops>> drivers_;  // by name
    struct Unit {
        iommu::Ops* ops;
        iommu::Instance instance;
    };
    std::map<std::string, Unit> units_;  // by the instance's name
    std::vector<std::unique_ptr<iommu::Device>> devices_;
    std::map<std::uint32_t, std::unique_ptr<iommu::Group>> groups_;
    iommu::FaultLog dma_faults_;
    iommu::IotlbControl iotlb_;
    std::vector<std::unique_ptr<pci::Function>> functions_;
    std::uint64_t next_bar_ = std::uint64_t{0xe0000000};  // where firmware puts the next one
    std::uint64_t next_io_ = 0xc000;
    std::optional<vfio::Module> vfio_;
    std::optional<kvm::Module> kvm_;

    Mutex mutex_{lock_order::kProcesses};
    std::vector<std::weak_ptr<Process>> processes_ GUARDED_BY(mutex_);
    bool closed_ GUARDED_BY(mutex_) = false;
};

}  // namespace kvmiommu::machine
