// SPDX-License-Identifier: MIT
//
// VFIO_DEVICE_FEATURE: probing, getting and setting optional features. vfio-pci has low power
// alone: migration and DMA logging take a driver for the specific device.
// Rules: drivers/vfio/vfio_main.c: vfio_ioctl_device_feature; vfio_pci_core.c for low power.

#include "fs/task.h"
#include "vfio/pci/pci_device.h"

namespace kvmiommu::vfio {

namespace {

constexpr Source kFeature{"drivers/vfio/vfio_main.c: vfio_ioctl_device_feature"};
constexpr Source kCheck{"include/linux/vfio.h: vfio_check_feature"};
constexpr Source kNone{"drivers/vfio/pci/vfio_pci_core.c: vfio_pci_core_ioctl_feature"};
constexpr Source kPrecopy{
    "drivers/vfio/vfio_main.c: vfio_ioctl_device_feature_migration_precopy_info_v2"};
constexpr Source kLowPower{"drivers/vfio/pci/vfio_pci_core.c: vfio_pci_runtime_pm_entry"};

using namespace uapi;

constexpr std::uint32_t kOperations = VFIO_DEVICE_FEATURE_GET | VFIO_DEVICE_FEATURE_SET;

// Returns false for a probe, which ends here.
Result<bool> check_feature(const vfio_device_feature& request, std::uint32_t operations,
                           std::uint64_t bytes) {
    if ((request.flags & kOperations & ~operations) != 0) {
        return refuse(EINVAL, "flags {:x} ask for what the feature does not have", kCheck,
                      request.flags);
    }
    if ((request.flags & VFIO_DEVICE_FEATURE_PROBE) != 0) {
        return false;
    }
    if ((request.flags & kOperations) == 0) {
        return refuse(EINVAL, "flags {:x} ask for nothing", kCheck, request.flags);
    }
    if (request.argsz - sizeof request < bytes) {
        return refuse(EINVAL, "argsz {} is too little for {} bytes of data", kCheck, request.argsz,
                      bytes);
    }
    return true;
}

}  // namespace

// (vfio_pci_runtime_pm_entry)
Result<> PciDevice::set_low_power(bool on) {
    const Lock lock(mutex_);
    if (on && low_power_) {
        return refuse(EINVAL, "the device is in low power already", kLowPower);
    }
    low_power_ = on;
    return {};
}

Result<std::int64_t> PciDevice::feature(fs::Block<vfio_device_feature> request) {
    constexpr std::uint32_t kKnown =
        VFIO_DEVICE_FEATURE_MASK | kOperations | VFIO_DEVICE_FEATURE_PROBE;
    if ((request->flags & ~kKnown) != 0) {
        return refuse(EINVAL, "flags {:x} are not known", kFeature, request->flags & ~kKnown);
    }
    if ((request->flags & VFIO_DEVICE_FEATURE_PROBE) == 0 &&
        (request->flags & kOperations) == kOperations) {
        return refuse(EINVAL, "GET and SET at once, without PROBE", kFeature);
    }
    const std::uint32_t feature = request->flags & VFIO_DEVICE_FEATURE_MASK;
    if (feature == VFIO_DEVICE_FEATURE_MIG_PRECOPY_INFOv2 && kernel_.has(fs::Interfaces::v7_2)) {
        return refuse(EINVAL, "the device does not migrate", kPrecopy);
    }
    switch (feature) {
        case VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY:
            if (TRY(check_feature(*request, VFIO_DEVICE_FEATURE_SET, 0))) {
                TRY(set_low_power(true));
            }
            return 0;
        case VFIO_DEVICE_FEATURE_LOW_POWER_EXIT:
            if (TRY(check_feature(*request, VFIO_DEVICE_FEATURE_SET, 0))) {
                TRY(set_low_power(false));
            }
            return 0;
        case VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY_WITH_WAKEUP: {
            if (!TRY(check_feature(*request, VFIO_DEVICE_FEATURE_SET,
                                   sizeof(vfio_device_low_power_entry_with_wakeup)))) {
                return 0;
            }
            const auto entry =
                TRY(request.user()
                        .offset<vfio_device_low_power_entry_with_wakeup>(sizeof *request)
                        .read(request.task().mm()));
            TRY(get_eventfd(request.task(), entry.wakeup_eventfd));
            TRY(set_low_power(true));
            return 0;
        }
        default:
            return refuse(ENOTTY, "the device does not have feature {}", kNone, feature);
    }
}

}  // namespace kvmiommu::vfio
