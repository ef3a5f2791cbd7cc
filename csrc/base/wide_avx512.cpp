// SPDX-License-Identifier: MIT
//
// The rows of processors with AVX-512 (F and BW): registers of eight words. Built for them.

#if defined(__x86_64__)

#include "base/wide_rows.h"

namespace kvmiommu::wide {

KVMIOMMU_NEWER_KIND constexpr Kind kAvx512 = kind_of<8>("avx512");

}  // namespace kvmiommu::wide

#endif
