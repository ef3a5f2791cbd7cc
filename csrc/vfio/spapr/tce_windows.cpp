// SPDX-License-Identifier: MIT
//
// The windows of a container: creation, look-up, removal.

#include <algorithm>
#include <utility>

#include "vfio/spapr/tce_container.h"
#include "vfio/spapr/tce_request.h"

namespace kvmiommu::vfio {

namespace {

constexpr Source kIoctl{"drivers/vfio/vfio_iommu_spapr_tce.c: tce_iommu_ioctl"};
constexpr Source kDefault{"drivers/vfio/vfio_iommu_spapr_tce.c: tce_iommu_create_default_window"};
constexpr Source kCreate{"drivers/vfio/vfio_iommu_spapr_tce.c: tce_iommu_create_window"};
constexpr Source kCreateTable{"drivers/vfio/vfio_iommu_spapr_tce.c: tce_iommu_create_table"};
constexpr Source kRemove{"drivers/vfio/vfio_iommu_spapr_tce.c: tce_iommu_remove_window"};

constexpr unsigned k4K = 12;

}  // namespace

std::optional<unsigned> TceContainer::window_of(std::uint64_t iova) const {
    for (unsigned number = 0; number < tables_.size(); ++number) {
        if (tables_[number] && tables_[number]->holds(iova >> tables_[number]->page_shift())) {
            return number;
        }
    }
    return std::nullopt;
}

Result<> TceContainer::create_default_window(fs::Task& task) {
    if (!default_window_pending_) {
        return {};
    }
    if (groups_.empty()) {
        return refuse(ENODEV, "the container has no group", kDefault);
    }
    TRY(create_window(task, k4K, first_group().windows().dma32_size, 1));
    default_window_pending_ = false;
    return {};
}

Result<Ref<spapr::HardwareTable>> TceContainer::default_table(fs::Task& task) {
    const Lock lock(mutex_);
    if (v2_) {
        return refuse(ENODEV, "a container of version 2 has no table to be linked", kDefault);
    }
    TRY(work_for(task));
    TRY(create_default_window(task));
    if (!tables_[0]) {
        return refuse(ENODEV, "the container has no default window", kDefault);
    }
    return tables_[0];
}

Result<std::uint64_t> TceContainer::create_window(fs::Task& task, unsigned page_shift,
                                                  std::uint64_t window_size, unsigned levels) {
    const auto free =
        std::find_if(tables_.begin(), tables_.end(), [](const Table& table) { return !table; });
    if (free == tables_.end()) {
        return refuse(ENOSPC, "the container has {} windows, and no room for more", kCreate,
                      tables_.size());
    }
    const auto number = static_cast<unsigned>(free - tables_.begin());
    spapr::TableGroup& group = first_group();
    if (page_shift >= 64 || (group.windows().page_sizes >> page_shift & 1) == 0) {
        return refuse(EINVAL, "pages of 2^{} bytes; the platform has {:x}", kCreate, page_shift,
                      group.windows().page_sizes);
    }
    const std::uint64_t bytes = group.table_size(page_shift, window_size, levels);
    if (bytes == 0) {
        return refuse(EINVAL, "a window of {:x} bytes with {} levels", kCreateTable, window_size,
                      levels);
    }
    const std::uint64_t page = kernel_.page_size();
    TRY(mm_->locked_vm().charge(bytes / page, task.limit(fs::Resource::memlock) / page,
                                task.capable(fs::Capability::ipc_lock)));
    auto made = group.create_table(number, page_shift, window_size, levels, task.faults());
    if (!made) {
        // The kernel forgets to uncharge.
        if (kernel_.fixed(fs::KernelBug::spapr_failed_window_stays_charged)) {
            mm_->locked_vm().uncharge(bytes / page);
        }
        return std::unexpected(made.error());
    }
    Table table = *std::move(made);
    if (!v2_) {
        table->hold_pages();
    }
    for (iommu::Group* const each : groups_) {
        if (const auto set = spapr::table_group_of(*each)->set_window(number, table); !set) {
            for (iommu::Group* const other : groups_) {
                spapr::table_group_of(*other)->unset_window(number);
            }
            release(table);
            return std::unexpected(set.error());
        }
    }
    const std::uint64_t start = table->start();
    tables_[number] = std::move(table);
    return start;
}

Result<> TceContainer::remove_window(std::uint64_t start, Table& gone) {
    const auto number = window_of(start);
    if (!number) {
        return refuse(EINVAL, "no window has {:x} in it", kRemove, start);
    }
    gone = tables_[*number];
    // Retired before it is cleared: else a hypercall could make an entry after the clear, whose
    // region would stay counted.
    for (iommu::Group* const group : groups_) {
        spapr::table_group_of(*group)->unset_window(*number);
    }
    retire(*gone);
    clear(*gone, {gone->offset(), gone->size()});
    release(tables_[*number]);
    return {};
}

void TceContainer::retire(spapr::HardwareTable& table) {
    if (kernel_.fixed(fs::KernelBug::spapr_removed_window_stays_attached)) {
        table.retire();
    }
}

void TceContainer::release(Table& table) {
    retire(*table);
    mm_->locked_vm().uncharge(table->allocated() / kernel_.page_size());
    table = nullptr;
}

Result<std::int64_t> TceContainer::create(fs::Task& task, std::uint64_t argument) {
    const Lock lock(mutex_);
    TRY(work_for(task));
    if (groups_.empty()) {
        return refuse(ENXIO, "the container has no group", kIoctl);
    }
    auto request = TRY(take_without_flags<uapi::vfio_iommu_spapr_tce_create>(task, argument));
    TRY(create_default_window(task));
    request.start_addr =
        TRY(create_window(task, request.page_shift, request.window_size, request.levels));
    TRY(mm::UserPtr<uapi::vfio_iommu_spapr_tce_create>(argument).write(task.mm(), request));
    return 0;
}

Result<std::int64_t> TceContainer::remove(fs::Task& task, std::uint64_t argument) {
    Table gone;  // put after the lock
    const Lock lock(mutex_);
    TRY(work_for(task));
    if (groups_.empty()) {
        return refuse(ENXIO, "the container has no group", kIoctl);
    }
    const auto request = TRY(take_without_flags<uapi::vfio_iommu_spapr_tce_remove>(task, argument));
    if (default_window_pending_ && request.start_addr == 0) {
        default_window_pending_ = false;
        return 0;
    }
    TRY(remove_window(request.start_addr, gone));
    return 0;
}

}  // namespace kvmiommu::vfio
