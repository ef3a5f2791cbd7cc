// SPDX-License-Identifier: MIT
//
// What this is built under: KVMIOMMU_ASAN, KVMIOMMU_TSAN.

#pragma once

#ifdef __SANITIZE_ADDRESS__
#define KVMIOMMU_ASAN 1
#endif
#ifdef __SANITIZE_THREAD__
#define KVMIOMMU_TSAN 1
#endif
#ifdef __has_feature
#if __has_feature(address_sanitizer)
#define KVMIOMMU_ASAN 1
#endif
#if __has_feature(thread_sanitizer)
#define KVMIOMMU_TSAN 1
#endif
#endif
