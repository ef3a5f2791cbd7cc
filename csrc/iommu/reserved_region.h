// SPDX-License-Identifier: MIT
//
// iovas that are not to be mapped (include/linux/iommu.h: iommu_resv_region).

#pragma once

#include <cstdint>

#include "base/range.h"

namespace kvmiommu::iommu {

enum class ReservedType : std::uint8_t {
    direct,            // must stay identity mapped for the firmware
    direct_relaxable,  // identity mapped for the firmware, until a driver takes the device over
    reserved,          // never to be mapped
    msi,               // a write here is an interrupt
    sw_msi,            // where software maps the interrupt doorbell
};

struct ReservedRegion {
    Range range;
    ReservedType type;
};

}  // namespace kvmiommu::iommu
