// SPDX-License-Identifier: MIT

#include "vfio/spapr/eeh.h"

#include <cstddef>

#include "uapi/vfio.h"
#include "vfio/spapr/tce_request.h"

namespace kvmiommu::vfio {

namespace {

constexpr Source kOp{"drivers/vfio/vfio_iommu_spapr_tce.c: vfio_spapr_ioctl_eeh_pe_op"};
constexpr Source kInject{"arch/powerpc/kernel/eeh.c: eeh_pe_inject_err"};
constexpr Source kFirmware{"arch/powerpc/platforms/powernv/eeh-powernv.c: pnv_eeh_err_inject"};

constexpr std::uint32_t kLastFunction = 0x13;  // EEH_ERR_FUNC_MAX
constexpr std::uint32_t kLastType = 1;         // OPAL_ERR_INJECT_TYPE_IOA_BUS_ERR64

Result<std::int64_t> inject(const uapi::vfio_eeh_pe_err& error) {
    if (error.func > kLastFunction) {
        return refuse(EINVAL, "there is no error function {}", kInject, error.func);
    }
    if (error.type > kLastType) {
        return refuse(ERANGE, "there is no error of type {}", kFirmware, error.type);
    }
    return refuse(EIO, "the firmware injects no errors", kFirmware);
}

}  // namespace

Result<std::int64_t> eeh_pe_op(fs::Task& task, const iommu::Group& group, std::uint64_t argument) {
    if (!group.first_device().iommu_device().eeh) {
        return refuse(ENODEV, "group {} has no error handling", kOp, group.id());
    }
    using Request = uapi::vfio_eeh_pe_op;
    const auto request =
        TRY(take_request<Request>(task, argument, offsetof(Request, op) + sizeof(std::uint32_t)));
    if (request.flags != 0) {
        return refuse(EINVAL, "flags {:x}: the request has none", kOp, request.flags);
    }
    switch (request.op) {
        case uapi::VFIO_EEH_PE_GET_STATE:
            return uapi::VFIO_EEH_PE_STATE_NORMAL;
        case uapi::VFIO_EEH_PE_DISABLE:
        case uapi::VFIO_EEH_PE_ENABLE:
        case uapi::VFIO_EEH_PE_UNFREEZE_IO:
        case uapi::VFIO_EEH_PE_UNFREEZE_DMA:
        case uapi::VFIO_EEH_PE_RESET_DEACTIVATE:
        case uapi::VFIO_EEH_PE_RESET_HOT:
        case uapi::VFIO_EEH_PE_RESET_FUNDAMENTAL:
        case uapi::VFIO_EEH_PE_CONFIGURE:
            return 0;
        case uapi::VFIO_EEH_PE_INJECT_ERR: {
            if (request.argsz < sizeof request) {
                return refuse(EINVAL, "argsz {} has no room for the error", kOp, request.argsz);
            }
            return inject(TRY(take_request<Request>(task, argument)).err);
        }
        default:
            return refuse(EINVAL, "there is no operation {}", kOp, request.op);
    }
}

}  // namespace kvmiommu::vfio
