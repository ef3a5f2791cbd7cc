// SPDX-License-Identifier: MIT

#include "kvm/proposals/spapr_tce_device.h"

#include <utility>

#include "kvm/vm.h"

namespace kvmiommu::kvm {

namespace {

constexpr Source kDevice{"kvmiommu: kvm/proposals/spapr_tce_device.h"};
constexpr std::uint32_t kGroup = uapi::KVM_DEV_SPAPR_TCE_ATTR_WINDOW;

std::unexpected<Refusal> has_table() {
    return refuse(EBUSY, "the device has a table already", kDevice);
}

}  // namespace

Result<> SpaprTceDevice::set_window(fs::Task& task, const uapi::kvm_create_spapr_tce& window) {
    auto table = TRY(vm_.make_table(task, window));
    const Lock lock(mutex_);
    if (table_) {
        return has_table();
    }
    table_ = std::move(table);
    window_ = window;
    return {};
}

Result<std::int64_t> SpaprTceDevice::has_attribute(fs::Task&, const Attribute& attribute) {
    return check_group(attribute, kGroup);
}

Result<std::int64_t> SpaprTceDevice::set_attribute(fs::Task& task, const Attribute& attribute) {
    TRY(check_group(attribute, kGroup));
    {
        const Lock lock(mutex_);
        if (table_) {
            return has_table();
        }
    }
    TRY(set_window(task,
                   TRY(mm::UserPtr<uapi::kvm_create_spapr_tce>(attribute.addr).read(task.mm()))));
    return 0;
}

Result<std::int64_t> SpaprTceDevice::get_attribute(fs::Task& task, const Attribute& attribute) {
    TRY(check_group(attribute, kGroup));
    uapi::kvm_create_spapr_tce window;
    {
        const Lock lock(mutex_);
        if (!table_) {
            return refuse(EINVAL, "the device has no table yet", kDevice);
        }
        window = window_;
    }
    TRY(mm::UserPtr<uapi::kvm_create_spapr_tce>(attribute.addr).write(task.mm(), window));
    return 0;
}

Result<fs::FileMapping> SpaprTceDevice::mmap(fs::Task&, const fs::FileMapRequest& request) {
    const Lock lock(mutex_);
    if (!table_) {
        return refuse(ENODEV, "the device has no table yet", kDevice);
    }
    return fs::FileMapping{table_, request.offset};
}

}  // namespace kvmiommu::kvm
