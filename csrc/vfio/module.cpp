// SPDX-License-Identifier: MIT

#include "vfio/module.h"

#include <algorithm>

#include "vfio/container.h"
#include "vfio/noiommu.h"
#include "vfio/pci_device.h"
#include "vfio/probe_device.h"
#include "vfio/tce_container.h"
#include "vfio/type1.h"

namespace kvmiommu::vfio {

Module::Module(fs::Kernel& kernel, const Options& options) : kernel_(kernel), options_(options) {
    // Which one the kernel was built with.
    if (kernel.abi() == uapi::Abi::power) {
        drivers_.push_back(std::make_unique<TceDriver>(kernel, options_.eeh));
    } else {
        drivers_.push_back(std::make_unique<Type1Driver>(kernel, options_));
    }
    // Registered when VFIO itself is loaded, so it is the oldest.
    drivers_.push_back(std::make_unique<NoiommuDriver>(kernel, options_));
    kernel_.nodes().add("/dev/vfio/vfio", 0666,
                        [this](fs::Task&, int flags) -> Result<Ref<fs::File>> {
                            return make<ContainerFile>(*this, flags);
                        });
}

Group& Module::group_of(iommu::Group& iommu_group, GroupType type) {
    const auto found = std::find_if(groups_.begin(), groups_.end(), [&](const auto& group) {
        return &group->iommu_group() == &iommu_group;
    });
    if (found != groups_.end()) {
        return **found;
    }
    groups_.push_back(std::make_unique<Group>(kernel_, iommu_group, type));
    Group& group = *groups_.back();
    const std::string name = type == GroupType::noiommu ? "noiommu-" : "";
    kernel_.nodes().add("/dev/vfio/" + name + std::to_string(iommu_group.id()), 0600,
                        [&group](fs::Task& task, int flags) { return group.open(task, flags); });
    return group;
}

void Module::bind(const pci::Function& function) {
    const GroupType type = function.device != nullptr ? GroupType::iommu : GroupType::noiommu;
    group_of(*function.group, type)
        .add_device(function.address, std::make_unique<PciDevice>(kernel_, function));
}

void Module::add_emulated(const std::string& name, iommu::Group& iommu_group) {
    auto probe = std::make_unique<ProbeDevice>(kernel_);
    ProbeDevice& driver = *probe;
    Group& group = group_of(iommu_group, GroupType::emulated);
    driver.belong_to(group.add_device(name, std::move(probe)));
}

}  // namespace kvmiommu::vfio
