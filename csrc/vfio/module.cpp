// SPDX-License-Identifier: MIT

#include "vfio/module.h"

#include <algorithm>

#include "vfio/container.h"
#include "vfio/noiommu.h"
#include "vfio/type1.h"

namespace kvmiommu::vfio {

Module::Module(fs::Kernel& kernel, const Options& options) : kernel_(kernel), options_(options) {
    drivers_.push_back(std::make_unique<Type1Driver>(kernel, options_));
    // Registered when VFIO itself is loaded, so it is the oldest.
    drivers_.push_back(std::make_unique<NoiommuDriver>(kernel, options_));
    kernel_.nodes().add("/dev/vfio/vfio", 0666,
                        [this](fs::Task&, int flags) -> Result<Ref<fs::File>> {
                            return make<ContainerFile>(*this, flags);
                        });
}

void Module::bind(const pci::Function& function) {
    iommu::Group& iommu_group = *function.group;
    auto found = std::find_if(groups_.begin(), groups_.end(), [&](const auto& group) {
        return &group->iommu_group() == &iommu_group;
    });
    if (found == groups_.end()) {
        const GroupType type = function.device != nullptr ? GroupType::iommu : GroupType::noiommu;
        groups_.push_back(std::make_unique<Group>(kernel_, iommu_group, type));
        found = std::prev(groups_.end());
        Group& group = **found;
        const std::string name = type == GroupType::noiommu ? "noiommu-" : "";
        kernel_.nodes().add(
            "/dev/vfio/" + name + std::to_string(iommu_group.id()), 0600,
            [&group](fs::Task& task, int flags) { return group.open(task, flags); });
    }
    (*found)->add_device(function);
}

}  // namespace kvmiommu::vfio
