// SPDX-License-Identifier: MIT

#include "vfio/module.h"

#include <algorithm>
#include <utility>

#include "vfio/container.h"
#include "vfio/noiommu.h"

namespace kvmiommu::vfio {

Module::Module(fs::Kernel& kernel, const Options& options) : kernel_(kernel), options_(options) {
    // This driver is part of the vfio module itself.
    register_iommu_driver(std::make_unique<NoiommuDriver>(kernel, options_));
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

void Module::register_iommu_driver(std::unique_ptr<IommuDriver> driver) {
    drivers_.insert(drivers_.begin(), std::move(driver));
}

void Module::register_device(iommu::Group& group, GroupType type, const std::string& name,
                             std::unique_ptr<DeviceOps> driver, const void* set_id) {
    std::unique_ptr<DeviceSet>& set = device_sets_[set_id != nullptr ? set_id : driver.get()];
    if (!set) {
        set = std::make_unique<DeviceSet>();
    }
    group_of(group, type).add_device(*set, name, std::move(driver));
}

}  // namespace kvmiommu::vfio
