// SPDX-License-Identifier: MIT

#include "vfio/spapr/external.h"

#include "vfio/group.h"
#include "vfio/spapr/tce_container.h"

namespace kvmiommu::vfio {

namespace {
constexpr Source kTable{"kvmiommu: vfio/spapr/external.h"};
}

Result<Ref<spapr::HardwareTable>> group_tce_table(fs::Task& task, fs::File& file) {
    const Ref<IommuBackend> backend = dynamic_cast<GroupFile&>(file).group().backend();
    auto* const container = dynamic_cast<TceContainer*>(backend.get());
    if (container == nullptr) {
        return refuse(ENODEV, "the group's container has no windows", kTable);
    }
    return container->default_table(task);
}

}  // namespace kvmiommu::vfio
