// SPDX-License-Identifier: MIT
//
// The command that drives iommufd's mock devices (CONFIG_IOMMUFD_TEST), as Linux 6.12 takes it.
//
// The facts come from recordings of the real kernel and from notes on its behaviour. No system
// header has them, so only these recordings can check them.

#pragma once

#include <cstddef>
#include <cstdint>

#include "uapi/ioctl.h"
#include "uapi/iommufd.h"

namespace kvmiommu::uapi {

// ---- The command of iommufd's mock driver

// One request with one struct; op selects the member of the union. The struct has 72 bytes for
// every op.

inline constexpr Request IOMMU_TEST_CMD = io(IOMMUFD_TYPE, IOMMUFD_CMD_BASE + 0x20);

inline constexpr std::uint32_t IOMMU_TEST_OP_ADD_RESERVED = 1;
inline constexpr std::uint32_t IOMMU_TEST_OP_MOCK_DOMAIN = 2;
inline constexpr std::uint32_t IOMMU_TEST_OP_MD_CHECK_MAP = 3;
inline constexpr std::uint32_t IOMMU_TEST_OP_MD_CHECK_REFS = 4;
inline constexpr std::uint32_t IOMMU_TEST_OP_CREATE_ACCESS = 5;
inline constexpr std::uint32_t IOMMU_TEST_OP_DESTROY_ACCESS_PAGES = 6;
inline constexpr std::uint32_t IOMMU_TEST_OP_ACCESS_PAGES = 7;
inline constexpr std::uint32_t IOMMU_TEST_OP_ACCESS_RW = 8;
inline constexpr std::uint32_t IOMMU_TEST_OP_SET_TEMP_MEMORY_LIMIT = 9;
inline constexpr std::uint32_t IOMMU_TEST_OP_MOCK_DOMAIN_REPLACE = 10;
inline constexpr std::uint32_t IOMMU_TEST_OP_ACCESS_REPLACE_IOAS = 11;
inline constexpr std::uint32_t IOMMU_TEST_OP_MOCK_DOMAIN_FLAGS = 12;
inline constexpr std::uint32_t IOMMU_TEST_OP_DIRTY = 13;
inline constexpr std::uint32_t IOMMU_TEST_OP_MD_CHECK_IOTLB = 14;
inline constexpr std::uint32_t IOMMU_TEST_OP_TRIGGER_IOPF = 15;
// Since 7.2:
inline constexpr std::uint32_t IOMMU_TEST_OP_DEV_CHECK_CACHE = 16;
inline constexpr std::uint32_t IOMMU_TEST_OP_TRIGGER_VEVENT = 17;
inline constexpr std::uint32_t IOMMU_TEST_OP_PASID_ATTACH = 18;
inline constexpr std::uint32_t IOMMU_TEST_OP_PASID_REPLACE = 19;
inline constexpr std::uint32_t IOMMU_TEST_OP_PASID_DETACH = 20;
inline constexpr std::uint32_t IOMMU_TEST_OP_PASID_CHECK_HWPT = 21;
inline constexpr std::uint32_t IOMMU_TEST_OP_DMABUF_GET = 22;
inline constexpr std::uint32_t IOMMU_TEST_OP_DMABUF_REVOKE = 23;

// Argument of IOMMU_TEST_CMD; id is an IOAS, a page table, a mock device or the descriptor of an
// access, as op has it.
struct iommu_test_cmd {
    struct AddReserved {
        std::uint64_t start;
        std::uint64_t length;
    };
    struct MockDomain {
        std::uint32_t out_stdev_id;
        std::uint32_t out_hwpt_id;
        std::uint32_t out_idev_id;
    };
    struct MockDomainFlags {
        std::uint32_t out_stdev_id;
        std::uint32_t out_hwpt_id;
        std::uint32_t out_idev_id;
        std::uint32_t dev_flags;  // MOCK_FLAGS_DEVICE_*
    };
    struct MockDomainReplace {
        std::uint32_t pt_id;
    };
    struct CheckMap {
        std::uint64_t iova;
        std::uint64_t length;
        std::uint64_t uptr;
    };
    struct CheckRefs {
        std::uint64_t length;
        std::uint64_t uptr;
        std::uint32_t refs;
    };
    struct CreateAccess {
        std::uint32_t out_access_fd;
        std::uint32_t flags;  // MOCK_FLAGS_ACCESS_CREATE_NEEDS_PIN_PAGES
    };
    struct DestroyAccessPages {
        std::uint32_t access_pages_id;
    };
    struct AccessPages {
        std::uint32_t flags;  // MOCK_FLAGS_ACCESS_WRITE, MOCK_FLAGS_ACCESS_SYZ
        std::uint32_t out_access_pages_id;
        std::uint64_t iova;
        std::uint64_t length;
        std::uint64_t uptr;
    };
    struct AccessRw {
        std::uint64_t iova;
        std::uint64_t length;
        std::uint64_t uptr;
        std::uint32_t flags;  // MOCK_ACCESS_RW_*
    };
    struct MemoryLimit {
        std::uint32_t limit;
    };
    struct AccessReplaceIoas {
        std::uint32_t ioas_id;
    };
    struct Dirty {
        std::uint32_t flags;
        std::uint64_t iova;
        std::uint64_t length;
        std::uint64_t page_size;
        std::uint64_t uptr;
        std::uint64_t out_nr_dirty;
    };
    struct CheckIotlb {
        std::uint32_t id;
        std::uint32_t iotlb;
    };
    struct TriggerIopf {
        std::uint32_t dev_id;
        std::uint32_t pasid;
        std::uint32_t grpid;
        std::uint32_t perm;
        std::uint64_t addr;
    };
    std::uint32_t size;
    std::uint32_t op;  // IOMMU_TEST_OP_*
    std::uint32_t id;
    std::uint32_t __reserved;
    union {
        AddReserved add_reserved;
        MockDomain mock_domain;
        MockDomainFlags mock_domain_flags;
        MockDomainReplace mock_domain_replace;
        CheckMap check_map;
        CheckRefs check_refs;
        CreateAccess create_access;
        DestroyAccessPages destroy_access_pages;
        AccessPages access_pages;
        AccessRw access_rw;
        MemoryLimit memory_limit;
        AccessReplaceIoas access_replace_ioas;
        Dirty dirty;
        CheckIotlb check_iotlb;
        TriggerIopf trigger_iopf;
    };
    std::uint32_t last;
};
static_assert(
    sizeof(iommu_test_cmd) == 72 && offsetof(iommu_test_cmd, op) == 4 &&
    offsetof(iommu_test_cmd, id) == 8 && offsetof(iommu_test_cmd, __reserved) == 12 &&
    offsetof(iommu_test_cmd, add_reserved) == 16 && offsetof(iommu_test_cmd, mock_domain) == 16 &&
    offsetof(iommu_test_cmd, mock_domain_flags) == 16 &&
    offsetof(iommu_test_cmd, mock_domain_replace) == 16 &&
    offsetof(iommu_test_cmd, check_map) == 16 && offsetof(iommu_test_cmd, check_refs) == 16 &&
    offsetof(iommu_test_cmd, create_access) == 16 &&
    offsetof(iommu_test_cmd, destroy_access_pages) == 16 &&
    offsetof(iommu_test_cmd, access_pages) == 16 && offsetof(iommu_test_cmd, access_rw) == 16 &&
    offsetof(iommu_test_cmd, memory_limit) == 16 &&
    offsetof(iommu_test_cmd, access_replace_ioas) == 16 && offsetof(iommu_test_cmd, dirty) == 16 &&
    offsetof(iommu_test_cmd, check_iotlb) == 16 && offsetof(iommu_test_cmd, trigger_iopf) == 16 &&
    offsetof(iommu_test_cmd, last) == 64);

// ---- Flags

inline constexpr std::uint32_t MOCK_FLAGS_ACCESS_CREATE_NEEDS_PIN_PAGES = 1U << 0;

inline constexpr std::uint32_t MOCK_FLAGS_ACCESS_WRITE = 1U << 0;
inline constexpr std::uint32_t MOCK_FLAGS_ACCESS_SYZ = 1U << 16;

inline constexpr std::uint32_t MOCK_ACCESS_RW_WRITE = 1U << 0;
inline constexpr std::uint32_t MOCK_ACCESS_RW_SLOW_PATH = 1U << 2;

inline constexpr std::uint32_t MOCK_FLAGS_DEVICE_NO_DIRTY = 1U << 0;
inline constexpr std::uint32_t MOCK_FLAGS_DEVICE_HUGE_IOVA = 1U << 1;
inline constexpr std::uint32_t MOCK_FLAGS_DEVICE_PASID = 1U << 2;  // since 7.2

// ---- The mock device and its tables

inline constexpr std::uint64_t MOCK_APERTURE_START = 1ULL << 24;
inline constexpr std::uint64_t MOCK_APERTURE_LAST = (1ULL << 31) - 1;
inline constexpr std::uint32_t IOMMU_HW_INFO_TYPE_SELFTEST = 0xfeedbeef;
inline constexpr std::uint32_t IOMMU_HW_INFO_SELFTEST_REGVAL = 0xdeadbeef;

// What IOMMU_GET_HW_INFO returns for a mock device.
struct iommu_test_hw_info {
    std::uint32_t flags;
    std::uint32_t test_reg;  // IOMMU_HW_INFO_SELFTEST_REGVAL
};
static_assert(sizeof(iommu_test_hw_info) == 8 && offsetof(iommu_test_hw_info, test_reg) == 4);

inline constexpr std::uint32_t IOMMU_HWPT_DATA_SELFTEST = 0xdead;
inline constexpr std::uint32_t IOMMU_TEST_IOTLB_DEFAULT = 0xbadbeef;
inline constexpr std::uint32_t MOCK_NESTED_DOMAIN_IOTLB_ID_MAX = 3;
inline constexpr std::uint32_t MOCK_NESTED_DOMAIN_IOTLB_NUM = 4;

// A nested mock table; iotlb is what each of its entries holds at first.
struct iommu_hwpt_selftest {
    std::uint32_t iotlb;
};
static_assert(sizeof(iommu_hwpt_selftest) == 4);

inline constexpr std::uint32_t IOMMU_HWPT_INVALIDATE_DATA_SELFTEST = 0xdeadbeef;
inline constexpr std::uint32_t IOMMU_HWPT_INVALIDATE_DATA_SELFTEST_INVALID = 0xdadbeef;

inline constexpr std::uint32_t IOMMU_TEST_INVALIDATE_FLAG_ALL = 1U << 0;

struct iommu_hwpt_invalidate_selftest {
    std::uint32_t flags;  // IOMMU_TEST_INVALIDATE_FLAG_ALL
    std::uint32_t iotlb_id;
};
static_assert(sizeof(iommu_hwpt_invalidate_selftest) == 8 &&
              offsetof(iommu_hwpt_invalidate_selftest, iotlb_id) == 4);

// ---- Since 7.2

inline constexpr std::uint32_t IOMMU_TEST_PASID_RESERVED = 1024;
inline constexpr std::uint32_t MOCK_PASID_WIDTH = 20;
inline constexpr std::uint32_t IOMMU_TEST_DEV_CACHE_DEFAULT = 0xbaddad;
inline constexpr std::uint32_t MOCK_DEV_CACHE_ID_MAX = 3;
inline constexpr std::uint32_t MOCK_DEV_CACHE_NUM = 4;
inline constexpr std::uint32_t IOMMU_VIOMMU_TYPE_SELFTEST = 0xdeadbeef;
inline constexpr std::uint32_t IOMMU_VIOMMU_INVALIDATE_DATA_SELFTEST = 0xdeadbeef;
inline constexpr std::uint32_t IOMMU_VIOMMU_INVALIDATE_DATA_SELFTEST_INVALID = 0xdadbeef;
inline constexpr std::uint32_t IOMMU_VEVENTQ_TYPE_SELFTEST = 0xbeefbeef;
inline constexpr std::uint32_t IOMMU_HW_QUEUE_TYPE_SELFTEST = 0xdeadbeef;

}  // namespace kvmiommu::uapi
