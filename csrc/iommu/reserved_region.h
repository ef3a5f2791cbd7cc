// SPDX-License-Identifier: MIT
//
// iovas that are not to be mapped (include/linux/iommu.h: iommu_resv_region).

#pragma once

#include <cstdint>

#include "base/range.h"

namespace kvmiommu::iommu {

enum class ReservedType : std::uint8_t {
    direct,            // identity mapped by the firmware's wish, and must stay so
    direct_relaxable,  // the same, but nobody minds when it ends
    reserved,          // never to be mapped
    msi,               // the hardware takes writes here for interrupts
    sw_msi,            // where software maps the interrupt doorbell
};

struct ReservedRegion {
    Range range;
    ReservedType type;
};

}  // namespace kvmiommu::iommu
