// SPDX-License-Identifier: MIT
//
// The structs of sPAPR's requests (drivers/vfio/vfio_iommu_spapr_tce.c: tce_iommu_ioctl). Each
// request copies its struct in itself, because it checks the container first.

#pragma once

#include <cstddef>
#include <cstdint>

#include "base/base.h"
#include "fs/task.h"

namespace kvmiommu::vfio {

/// The first `smallest` bytes of a struct that begins with argsz; the rest is 0.
/// EFAULT they cannot be read
/// EINVAL argsz is below `smallest`
template <class T>
Result<T> take_request(fs::Task& task, std::uint64_t argument, std::size_t smallest = sizeof(T)) {
    constexpr Source kSource{"drivers/vfio/vfio_iommu_spapr_tce.c: tce_iommu_ioctl"};
    T request{};
    TRY(task.mm().copy_from_user(&request, argument, smallest));
    if (request.argsz < smallest) {
        return refuse(EINVAL, "argsz {} is below {}, the smallest struct of this request", kSource,
                      request.argsz, smallest);
    }
    return request;
}

/// As take_request(), for a struct whose flags must be 0, and
/// EINVAL flags are set
template <class T>
Result<T> take_without_flags(fs::Task& task, std::uint64_t argument) {
    constexpr Source kSource{"drivers/vfio/vfio_iommu_spapr_tce.c: tce_iommu_ioctl"};
    const T request = TRY(take_request<T>(task, argument));
    if (request.flags != 0) {
        return refuse(EINVAL, "flags {:x}: the request has none", kSource, request.flags);
    }
    return request;
}

}  // namespace kvmiommu::vfio
