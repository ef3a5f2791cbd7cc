// SPDX-License-Identifier: MIT
//
// The rows of processors with AVX2: registers of four words. Built for them.

#if defined(__x86_64__)

#include "base/wide_rows.h"

namespace kvmiommu::wide {

KVMIOMMU_NEWER_KIND constexpr Kind kAvx2 = kind_of<4>("avx2");

}  // namespace kvmiommu::wide

#endif
