// SPDX-License-Identifier: MIT
//
// Opening, groups, and the requests about a container itself. The other parts: tce_windows.cpp,
// tce_map.cpp, tce_memory.cpp.

#include "vfio/spapr/tce_container.h"

#include <algorithm>
#include <cstddef>

#include "fs/ioctl_table.h"
#include "vfio/spapr/eeh.h"
#include "vfio/spapr/tce_request.h"

namespace kvmiommu::vfio {

namespace {

constexpr Source kOpen{"drivers/vfio/vfio_iommu_spapr_tce.c: tce_iommu_open"};
constexpr Source kIoctl{"drivers/vfio/vfio_iommu_spapr_tce.c: tce_iommu_ioctl"};
constexpr Source kEnable{"drivers/vfio/vfio_iommu_spapr_tce.c: tce_iommu_enable"};
constexpr Source kAttach{"drivers/vfio/vfio_iommu_spapr_tce.c: tce_iommu_attach_group"};
constexpr Source kMmSet{"drivers/vfio/vfio_iommu_spapr_tce.c: tce_iommu_mm_set"};

constexpr auto kGetInfo =
    fs::value_row<&TceContainer::get_info>(uapi::VFIO_IOMMU_SPAPR_TCE_GET_INFO);
constexpr auto kMapDma = fs::value_row<&TceContainer::map_dma>(uapi::VFIO_IOMMU_MAP_DMA);
constexpr auto kUnmapDma = fs::value_row<&TceContainer::unmap_dma>(uapi::VFIO_IOMMU_UNMAP_DMA);
constexpr auto kEehPeOp = fs::value_row<&TceContainer::eeh_pe_op>(uapi::VFIO_EEH_PE_OP);

constexpr fs::IoctlRow<TceContainer> kVersion1[] = {
    kMapDma,
    kUnmapDma,
    kGetInfo,
    kEehPeOp,
    fs::value_row<&TceContainer::enable>(uapi::VFIO_IOMMU_ENABLE),
    fs::value_row<&TceContainer::disable>(uapi::VFIO_IOMMU_DISABLE),
};
constexpr fs::IoctlRow<TceContainer> kVersion2[] = {
    kMapDma,
    kUnmapDma,
    kGetInfo,
    kEehPeOp,
    fs::value_row<&TceContainer::register_memory>(uapi::VFIO_IOMMU_SPAPR_REGISTER_MEMORY),
    fs::value_row<&TceContainer::unregister_memory>(uapi::VFIO_IOMMU_SPAPR_UNREGISTER_MEMORY),
    fs::value_row<&TceContainer::create>(uapi::VFIO_IOMMU_SPAPR_TCE_CREATE),
    fs::value_row<&TceContainer::remove>(uapi::VFIO_IOMMU_SPAPR_TCE_REMOVE),
};

constexpr fs::IoctlTable<TceContainer> kTable1{
    kVersion1, {ENOTTY, "request {:x} means nothing to version 1 of sPAPR", kIoctl}};
constexpr fs::IoctlTable<TceContainer> kTable2{
    kVersion2, {ENOTTY, "request {:x} means nothing to version 2 of sPAPR", kIoctl}};

}  // namespace

std::int64_t TceDriver::check_extension(std::uint64_t extension) const {
    switch (extension) {
        case uapi::VFIO_SPAPR_TCE_IOMMU:
        case uapi::VFIO_SPAPR_TCE_v2_IOMMU:
            return 1;
        case uapi::VFIO_EEH:
            return eeh_;
        default:
            return 0;
    }
}

Result<Ref<IommuBackend>> TceDriver::open(fs::Task& task, std::uint64_t type) {
    if (type != uapi::VFIO_SPAPR_TCE_IOMMU && type != uapi::VFIO_SPAPR_TCE_v2_IOMMU) {
        return refuse(EINVAL, "type {} is neither version of sPAPR", kOpen, type);
    }
    if (task.faults().fails()) {
        return refuse(ENOMEM, "told to fail", kOpen);
    }
    return make<TceContainer>(kernel_, *this, type == uapi::VFIO_SPAPR_TCE_v2_IOMMU);
}

TceContainer::TceContainer(fs::Kernel& kernel, const TceDriver& driver, bool v2)
    : IommuBackend(kernel.census(), "tce_container"), kernel_(kernel), driver_(driver), v2_(v2) {}

TceContainer::~TceContainer() {
    const Lock lock(mutex_);
    for (Table& table : tables_) {
        if (table) {
            release(table);
        }
    }
    unregister_all();
    if (enabled_ && !v2_) {
        mm_->locked_vm().uncharge(locked_pages_);
    }
}

Result<std::int64_t> TceContainer::ioctl(fs::Task& task, std::uint32_t command,
                                         std::uint64_t argument) {
    {
        const Lock lock(mutex_);
        if (mm_ && mm_.get() != &task.mm()) {
            return refuse(EPERM, "the container works for another process", kIoctl);
        }
    }
    return (v2_ ? kTable2 : kTable1).ioctl(*this, task, command, argument);
}

Result<> TceContainer::work_for(fs::Task& task) {
    if (!mm_) {
        mm_ = task.grab_mm();
    } else if (mm_.get() != &task.mm()) {
        return refuse(EPERM, "the container works for another process", kMmSet);
    }
    return {};
}

Result<> TceContainer::attach_group(fs::Task& task, iommu::Group& group, GroupType type) {
    if (type == GroupType::emulated) {
        return refuse(EINVAL, "group {} has no IOMMU", kAttach, group.id());
    }
    const Lock lock(mutex_);
    spapr::TableGroup* const windows = spapr::table_group_of(group);
    if (windows == nullptr) {
        return refuse(ENODEV, "group {} has no windows", kAttach, group.id());
    }
    if (!v2_ && !groups_.empty()) {
        return refuse(EBUSY, "version 1 has one group, and this container has it", kAttach);
    }
    for (iommu::Group* const other : groups_) {
        if (other == &group) {
            return refuse(EBUSY, "group {} is in the container", kAttach, group.id());
        }
        if (!windows->like(*spapr::table_group_of(*other))) {
            return refuse(EPERM, "groups {} and {} are of different platforms", kAttach, group.id(),
                          other->id());
        }
    }
    if (task.faults().fails()) {
        return refuse(ENOMEM, "told to fail", kAttach);
    }
    const bool first = groups_.empty() && !tables_[0];
    for (unsigned number = 0; number < tables_.size(); ++number) {
        if (!tables_[number]) {
            continue;
        }
        if (const auto set = windows->set_window(number, tables_[number]); !set) {
            for (unsigned each = 0; each < tables_.size(); ++each) {
                windows->unset_window(each);
            }
            default_window_pending_ |= first;
            return std::unexpected(set.error());
        }
    }
    default_window_pending_ |= first;
    groups_.insert(groups_.begin(), &group);
    return {};
}

void TceContainer::detach_group(iommu::Group& group) {
    const Lock lock(mutex_);
    std::erase(groups_, &group);
    spapr::TableGroup& windows = *spapr::table_group_of(group);
    for (unsigned number = 0; number < tables_.size(); ++number) {
        if (tables_[number]) {
            windows.unset_window(number);
            clear(*tables_[number], {tables_[number]->offset(), tables_[number]->size()});
        }
    }
}

Result<std::int64_t> TceContainer::get_info(fs::Task& task, std::uint64_t argument) {
    using Info = uapi::vfio_iommu_spapr_tce_info;
    constexpr std::size_t kSmallest = offsetof(Info, ddw);
    const Lock lock(mutex_);
    if (groups_.empty()) {
        return refuse(ENXIO, "the container has no group", kIoctl);
    }
    auto info = TRY(take_request<Info>(task, argument, kSmallest));
    const spapr::Windows& windows = first_group().windows();
    info.dma32_window_start = static_cast<std::uint32_t>(windows.dma32_start);
    info.dma32_window_size = static_cast<std::uint32_t>(windows.dma32_size);
    info.flags = 0;
    info.ddw = {};
    if (windows.most != 0 && v2_) {
        info.flags = uapi::VFIO_IOMMU_SPAPR_INFO_DDW;
        info.ddw.pgsizes = windows.page_sizes;
        info.ddw.max_dynamic_windows_supported = windows.most;
        info.ddw.levels = windows.levels;
    }
    TRY(task.mm().copy_to_user(argument, &info,
                               info.argsz >= sizeof info ? sizeof info : kSmallest));
    return 0;
}

Result<std::int64_t> TceContainer::enable(fs::Task& task, std::uint64_t) {
    const Lock lock(mutex_);
    if (enabled_) {
        return refuse(EBUSY, "the container is enabled", kEnable);
    }
    if (groups_.empty()) {
        return refuse(ENODEV, "the container has no group", kEnable);
    }
    const std::uint64_t window = first_group().windows().dma32_size;
    if (window == 0) {
        return refuse(EPERM, "the group has no default window", kEnable);
    }
    TRY(work_for(task));
    const std::uint64_t pages = window / kernel_.page_size();
    TRY(mm_->locked_vm().charge(pages, task.limit(fs::Resource::memlock) / kernel_.page_size(),
                                task.capable(fs::Capability::ipc_lock)));
    locked_pages_ = pages;
    enabled_ = true;
    return 0;
}

Result<std::int64_t> TceContainer::disable(fs::Task&, std::uint64_t) {
    const Lock lock(mutex_);
    if (enabled_) {
        enabled_ = false;
        mm_->locked_vm().uncharge(locked_pages_);
    }
    return 0;
}

Result<std::int64_t> TceContainer::eeh_pe_op(fs::Task& task, std::uint64_t argument) {
    const Lock lock(mutex_);
    std::int64_t answer = 0;
    for (iommu::Group* const group : groups_) {
        answer = TRY(vfio::eeh_pe_op(task, *group, argument));
        if (answer != 0) {
            break;
        }
    }
    return answer;
}

}  // namespace kvmiommu::vfio
