// SPDX-License-Identifier: MIT
//
// What a driver tells user space of the hardware behind a device (IOMMU_GET_HW_INFO).

#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "uapi/iommufd.h"

namespace kvmiommu::iommu {

struct HwInfo {
    std::uint32_t type = uapi::IOMMU_HW_INFO_TYPE_NONE;
    std::vector<std::byte> data;  // a structure of that type
};

}  // namespace kvmiommu::iommu
