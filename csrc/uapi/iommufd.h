// SPDX-License-Identifier: MIT
//
// The iommufd user interface of Linux 6.12, and what 7.2 has added: /dev/iommu.
//
// Names, numbers and layouts are those of include/uapi/linux/iommufd.h.

#pragma once

#include <cstddef>
#include <cstdint>

#include "uapi/ioctl.h"

#if defined(IOMMU_DESTROY)
#error "<linux/iommufd.h> came first: its macros would replace the names of this header"
#endif

namespace kvmiommu::uapi {

// ---- Commands

// Every request is _IO(';', 0x80 + n). Every struct begins with size: the bytes that the caller
// passes. A size below the first version of the struct is refused; missing bytes count as zero;
// bytes beyond the known struct must be zero.

inline constexpr std::uint32_t IOMMUFD_TYPE = 0x3b;  // ';', which VFIO shares
inline constexpr std::uint32_t IOMMUFD_CMD_BASE = 0x80;
inline constexpr std::uint32_t IOMMUFD_CMD_DESTROY = IOMMUFD_CMD_BASE;
inline constexpr std::uint32_t IOMMUFD_CMD_IOAS_ALLOC = 0x81;
inline constexpr std::uint32_t IOMMUFD_CMD_IOAS_ALLOW_IOVAS = 0x82;
inline constexpr std::uint32_t IOMMUFD_CMD_IOAS_COPY = 0x83;
inline constexpr std::uint32_t IOMMUFD_CMD_IOAS_IOVA_RANGES = 0x84;
inline constexpr std::uint32_t IOMMUFD_CMD_IOAS_MAP = 0x85;
inline constexpr std::uint32_t IOMMUFD_CMD_IOAS_UNMAP = 0x86;
inline constexpr std::uint32_t IOMMUFD_CMD_OPTION = 0x87;
inline constexpr std::uint32_t IOMMUFD_CMD_VFIO_IOAS = 0x88;
inline constexpr std::uint32_t IOMMUFD_CMD_HWPT_ALLOC = 0x89;
inline constexpr std::uint32_t IOMMUFD_CMD_GET_HW_INFO = 0x8a;
inline constexpr std::uint32_t IOMMUFD_CMD_HWPT_SET_DIRTY_TRACKING = 0x8b;
inline constexpr std::uint32_t IOMMUFD_CMD_HWPT_GET_DIRTY_BITMAP = 0x8c;
inline constexpr std::uint32_t IOMMUFD_CMD_HWPT_INVALIDATE = 0x8d;
inline constexpr std::uint32_t IOMMUFD_CMD_FAULT_QUEUE_ALLOC = 0x8e;
inline constexpr std::uint32_t IOMMUFD_CMD_IOAS_MAP_FILE = 0x8f;
inline constexpr std::uint32_t IOMMUFD_CMD_VIOMMU_ALLOC = 0x90;
inline constexpr std::uint32_t IOMMUFD_CMD_VDEVICE_ALLOC = 0x91;
inline constexpr std::uint32_t IOMMUFD_CMD_IOAS_CHANGE_PROCESS = 0x92;
inline constexpr std::uint32_t IOMMUFD_CMD_VEVENTQ_ALLOC = 0x93;
inline constexpr std::uint32_t IOMMUFD_CMD_HW_QUEUE_ALLOC = 0x94;

struct iommu_destroy {
    std::uint32_t size;
    std::uint32_t id;
};
static_assert(sizeof(iommu_destroy) == 8 && offsetof(iommu_destroy, id) == 4);

inline constexpr Request IOMMU_DESTROY = io(IOMMUFD_TYPE, IOMMUFD_CMD_DESTROY);

// ---- Address spaces (IOAS)

struct iommu_ioas_alloc {
    std::uint32_t size;
    std::uint32_t flags;
    std::uint32_t out_ioas_id;
};
static_assert(sizeof(iommu_ioas_alloc) == 12 && offsetof(iommu_ioas_alloc, flags) == 4 &&
              offsetof(iommu_ioas_alloc, out_ioas_id) == 8);

inline constexpr Request IOMMU_IOAS_ALLOC = io(IOMMUFD_TYPE, IOMMUFD_CMD_IOAS_ALLOC);

// Both ends are included.
struct iommu_iova_range {
    std::uint64_t start;
    std::uint64_t last;
};
static_assert(sizeof(iommu_iova_range) == 16 && offsetof(iommu_iova_range, last) == 8);

struct iommu_ioas_iova_ranges {
    std::uint32_t size;
    std::uint32_t ioas_id;
    std::uint32_t num_iovas;  // elements of the array; written back: how many there are
    std::uint32_t __reserved;
    std::uint64_t allowed_iovas;  // address of iommu_iova_range[num_iovas]
    std::uint64_t out_iova_alignment;
};
static_assert(sizeof(iommu_ioas_iova_ranges) == 32 &&
              offsetof(iommu_ioas_iova_ranges, ioas_id) == 4 &&
              offsetof(iommu_ioas_iova_ranges, num_iovas) == 8 &&
              offsetof(iommu_ioas_iova_ranges, __reserved) == 12 &&
              offsetof(iommu_ioas_iova_ranges, allowed_iovas) == 16 &&
              offsetof(iommu_ioas_iova_ranges, out_iova_alignment) == 24);

inline constexpr Request IOMMU_IOAS_IOVA_RANGES = io(IOMMUFD_TYPE, IOMMUFD_CMD_IOAS_IOVA_RANGES);

struct iommu_ioas_allow_iovas {
    std::uint32_t size;
    std::uint32_t ioas_id;
    std::uint32_t num_iovas;
    std::uint32_t __reserved;
    std::uint64_t allowed_iovas;  // address of iommu_iova_range[num_iovas]
};
static_assert(sizeof(iommu_ioas_allow_iovas) == 24 &&
              offsetof(iommu_ioas_allow_iovas, ioas_id) == 4 &&
              offsetof(iommu_ioas_allow_iovas, num_iovas) == 8 &&
              offsetof(iommu_ioas_allow_iovas, __reserved) == 12 &&
              offsetof(iommu_ioas_allow_iovas, allowed_iovas) == 16);

inline constexpr Request IOMMU_IOAS_ALLOW_IOVAS = io(IOMMUFD_TYPE, IOMMUFD_CMD_IOAS_ALLOW_IOVAS);

// The caller chooses iova; otherwise it is written back.
inline constexpr std::uint32_t IOMMU_IOAS_MAP_FIXED_IOVA = 1U << 0;
inline constexpr std::uint32_t IOMMU_IOAS_MAP_WRITEABLE = 1U << 1;
inline constexpr std::uint32_t IOMMU_IOAS_MAP_READABLE = 1U << 2;

struct iommu_ioas_map {
    std::uint32_t size;
    std::uint32_t flags;  // IOMMU_IOAS_MAP_*
    std::uint32_t ioas_id;
    std::uint32_t __reserved;
    std::uint64_t user_va;
    std::uint64_t length;
    std::uint64_t iova;
};
static_assert(sizeof(iommu_ioas_map) == 40 && offsetof(iommu_ioas_map, flags) == 4 &&
              offsetof(iommu_ioas_map, ioas_id) == 8 &&
              offsetof(iommu_ioas_map, __reserved) == 12 &&
              offsetof(iommu_ioas_map, user_va) == 16 && offsetof(iommu_ioas_map, length) == 24 &&
              offsetof(iommu_ioas_map, iova) == 32);

inline constexpr Request IOMMU_IOAS_MAP = io(IOMMUFD_TYPE, IOMMUFD_CMD_IOAS_MAP);

struct iommu_ioas_copy {
    std::uint32_t size;
    std::uint32_t flags;  // IOMMU_IOAS_MAP_*
    std::uint32_t dst_ioas_id;
    std::uint32_t src_ioas_id;
    std::uint64_t length;
    std::uint64_t dst_iova;
    std::uint64_t src_iova;
};
static_assert(sizeof(iommu_ioas_copy) == 40 && offsetof(iommu_ioas_copy, flags) == 4 &&
              offsetof(iommu_ioas_copy, dst_ioas_id) == 8 &&
              offsetof(iommu_ioas_copy, src_ioas_id) == 12 &&
              offsetof(iommu_ioas_copy, length) == 16 &&
              offsetof(iommu_ioas_copy, dst_iova) == 24 &&
              offsetof(iommu_ioas_copy, src_iova) == 32);

inline constexpr Request IOMMU_IOAS_COPY = io(IOMMUFD_TYPE, IOMMUFD_CMD_IOAS_COPY);

// iova 0 with length 2^64 - 1 means everything.
struct iommu_ioas_unmap {
    std::uint32_t size;
    std::uint32_t ioas_id;
    std::uint64_t iova;
    std::uint64_t length;  // written back: the bytes that were unmapped
};
static_assert(sizeof(iommu_ioas_unmap) == 24 && offsetof(iommu_ioas_unmap, ioas_id) == 4 &&
              offsetof(iommu_ioas_unmap, iova) == 8 && offsetof(iommu_ioas_unmap, length) == 16);

inline constexpr Request IOMMU_IOAS_UNMAP = io(IOMMUFD_TYPE, IOMMUFD_CMD_IOAS_UNMAP);

// ---- Options

// Which locked memory is charged: 0 the user's, 1 the process's.
inline constexpr std::uint32_t IOMMU_OPTION_RLIMIT_MODE = 0;
inline constexpr std::uint32_t IOMMU_OPTION_HUGE_PAGES = 1;  // of one IOAS

inline constexpr std::uint32_t IOMMU_OPTION_OP_SET = 0;
inline constexpr std::uint32_t IOMMU_OPTION_OP_GET = 1;

struct iommu_option {
    std::uint32_t size;
    std::uint32_t option_id;
    std::uint16_t op;
    std::uint16_t __reserved;
    std::uint32_t object_id;
    std::uint64_t val64;
};
static_assert(sizeof(iommu_option) == 24 && offsetof(iommu_option, option_id) == 4 &&
              offsetof(iommu_option, op) == 8 && offsetof(iommu_option, __reserved) == 10 &&
              offsetof(iommu_option, object_id) == 12 && offsetof(iommu_option, val64) == 16);

inline constexpr Request IOMMU_OPTION = io(IOMMUFD_TYPE, IOMMUFD_CMD_OPTION);

// ---- The IOAS that old VFIO calls use

inline constexpr std::uint32_t IOMMU_VFIO_IOAS_GET = 0;
inline constexpr std::uint32_t IOMMU_VFIO_IOAS_SET = 1;
inline constexpr std::uint32_t IOMMU_VFIO_IOAS_CLEAR = 2;

struct iommu_vfio_ioas {
    std::uint32_t size;
    std::uint32_t ioas_id;
    std::uint16_t op;
    std::uint16_t __reserved;
};
static_assert(sizeof(iommu_vfio_ioas) == 12 && offsetof(iommu_vfio_ioas, ioas_id) == 4 &&
              offsetof(iommu_vfio_ioas, op) == 8 && offsetof(iommu_vfio_ioas, __reserved) == 10);

inline constexpr Request IOMMU_VFIO_IOAS = io(IOMMUFD_TYPE, IOMMUFD_CMD_VFIO_IOAS);

// ---- Hardware page tables (HWPT)

inline constexpr std::uint32_t IOMMU_HWPT_ALLOC_NEST_PARENT = 1U << 0;
inline constexpr std::uint32_t IOMMU_HWPT_ALLOC_DIRTY_TRACKING = 1U << 1;
inline constexpr std::uint32_t IOMMU_HWPT_FAULT_ID_VALID = 1U << 2;
inline constexpr std::uint32_t IOMMU_HWPT_ALLOC_PASID = 1U << 3;  // since 7.2

inline constexpr std::uint32_t IOMMU_VTD_S1_SRE = 1U << 0;
inline constexpr std::uint32_t IOMMU_VTD_S1_EAFE = 1U << 1;
inline constexpr std::uint32_t IOMMU_VTD_S1_WPE = 1U << 2;

// A guest's first-level table, for IOMMU_HWPT_DATA_VTD_S1.
struct iommu_hwpt_vtd_s1 {
    std::uint64_t flags;  // IOMMU_VTD_S1_*
    std::uint64_t pgtbl_addr;
    std::uint32_t addr_width;
    std::uint32_t __reserved;
};
static_assert(sizeof(iommu_hwpt_vtd_s1) == 24 && offsetof(iommu_hwpt_vtd_s1, pgtbl_addr) == 8 &&
              offsetof(iommu_hwpt_vtd_s1, addr_width) == 16 &&
              offsetof(iommu_hwpt_vtd_s1, __reserved) == 20);

inline constexpr std::uint32_t IOMMU_HWPT_DATA_NONE = 0;
inline constexpr std::uint32_t IOMMU_HWPT_DATA_VTD_S1 = 1;

// 24 bytes are the least, through __reserved.
struct iommu_hwpt_alloc {
    std::uint32_t size;
    std::uint32_t flags;
    std::uint32_t dev_id;
    std::uint32_t pt_id;  // an IOAS, or the parent of a nested table
    std::uint32_t out_hwpt_id;
    std::uint32_t __reserved;
    std::uint32_t data_type;  // IOMMU_HWPT_DATA_*
    std::uint32_t data_len;
    std::uint64_t data_uptr;
    std::uint32_t fault_id;
    std::uint32_t __reserved2;
};
static_assert(sizeof(iommu_hwpt_alloc) == 48 && offsetof(iommu_hwpt_alloc, flags) == 4 &&
              offsetof(iommu_hwpt_alloc, dev_id) == 8 && offsetof(iommu_hwpt_alloc, pt_id) == 12 &&
              offsetof(iommu_hwpt_alloc, out_hwpt_id) == 16 &&
              offsetof(iommu_hwpt_alloc, __reserved) == 20 &&
              offsetof(iommu_hwpt_alloc, data_type) == 24 &&
              offsetof(iommu_hwpt_alloc, data_len) == 28 &&
              offsetof(iommu_hwpt_alloc, data_uptr) == 32 &&
              offsetof(iommu_hwpt_alloc, fault_id) == 40 &&
              offsetof(iommu_hwpt_alloc, __reserved2) == 44);

inline constexpr Request IOMMU_HWPT_ALLOC = io(IOMMUFD_TYPE, IOMMUFD_CMD_HWPT_ALLOC);

inline constexpr std::uint32_t IOMMU_HW_INFO_VTD_ERRATA_772415_SPR17 = 1U << 0;

// What IOMMU_GET_HW_INFO returns for VT-d: the two capability registers.
struct iommu_hw_info_vtd {
    std::uint32_t flags;
    std::uint32_t __reserved;
    std::uint64_t cap_reg;
    std::uint64_t ecap_reg;
};
static_assert(sizeof(iommu_hw_info_vtd) == 24 && offsetof(iommu_hw_info_vtd, __reserved) == 4 &&
              offsetof(iommu_hw_info_vtd, cap_reg) == 8 &&
              offsetof(iommu_hw_info_vtd, ecap_reg) == 16);

inline constexpr std::uint32_t IOMMU_HW_INFO_TYPE_NONE = 0;
inline constexpr std::uint32_t IOMMU_HW_INFO_TYPE_DEFAULT = 0;  // since 7.2, as all but VT-d's
inline constexpr std::uint32_t IOMMU_HW_INFO_TYPE_INTEL_VTD = 1;
inline constexpr std::uint32_t IOMMU_HW_INFO_TYPE_ARM_SMMUV3 = 2;
inline constexpr std::uint32_t IOMMU_HW_INFO_TYPE_TEGRA241_CMDQV = 3;
inline constexpr std::uint32_t IOMMU_HW_INFO_TYPE_AMD = 4;

inline constexpr std::uint32_t IOMMU_HW_INFO_FLAG_INPUT_TYPE = 1U << 0;

inline constexpr std::uint32_t IOMMU_HW_CAP_DIRTY_TRACKING = 1U << 0;
inline constexpr std::uint32_t IOMMU_HW_CAP_PCI_PASID_EXEC = 1U << 1;
inline constexpr std::uint32_t IOMMU_HW_CAP_PCI_PASID_PRIV = 1U << 2;

struct iommu_hw_info {
    std::uint32_t size;
    std::uint32_t flags;
    std::uint32_t dev_id;
    std::uint32_t data_len;
    std::uint64_t data_uptr;
    std::uint32_t out_data_type;  // IOMMU_HW_INFO_TYPE_*
    std::uint8_t out_max_pasid_log2;
    std::uint8_t __reserved[3];
    std::uint64_t out_capabilities;  // IOMMU_HW_CAP_*
};
static_assert(sizeof(iommu_hw_info) == 40 && offsetof(iommu_hw_info, flags) == 4 &&
              offsetof(iommu_hw_info, dev_id) == 8 && offsetof(iommu_hw_info, data_len) == 12 &&
              offsetof(iommu_hw_info, data_uptr) == 16 &&
              offsetof(iommu_hw_info, out_data_type) == 24 &&
              offsetof(iommu_hw_info, out_max_pasid_log2) == 28 &&
              offsetof(iommu_hw_info, __reserved) == 29 &&
              offsetof(iommu_hw_info, out_capabilities) == 32);

inline constexpr Request IOMMU_GET_HW_INFO = io(IOMMUFD_TYPE, IOMMUFD_CMD_GET_HW_INFO);

// ---- Dirty pages

inline constexpr std::uint32_t IOMMU_HWPT_DIRTY_TRACKING_ENABLE = 1;

struct iommu_hwpt_set_dirty_tracking {
    std::uint32_t size;
    std::uint32_t flags;
    std::uint32_t hwpt_id;
    std::uint32_t __reserved;
};
static_assert(sizeof(iommu_hwpt_set_dirty_tracking) == 16 &&
              offsetof(iommu_hwpt_set_dirty_tracking, flags) == 4 &&
              offsetof(iommu_hwpt_set_dirty_tracking, hwpt_id) == 8 &&
              offsetof(iommu_hwpt_set_dirty_tracking, __reserved) == 12);

inline constexpr Request IOMMU_HWPT_SET_DIRTY_TRACKING =
    io(IOMMUFD_TYPE, IOMMUFD_CMD_HWPT_SET_DIRTY_TRACKING);

// Leave the marks in the hardware's table.
inline constexpr std::uint32_t IOMMU_HWPT_GET_DIRTY_BITMAP_NO_CLEAR = 1;

struct iommu_hwpt_get_dirty_bitmap {
    std::uint32_t size;
    std::uint32_t hwpt_id;
    std::uint32_t flags;
    std::uint32_t __reserved;
    std::uint64_t iova;
    std::uint64_t length;
    std::uint64_t page_size;
    std::uint64_t data;  // address of the bitmap; bits are only ever added to it
};
static_assert(sizeof(iommu_hwpt_get_dirty_bitmap) == 48 &&
              offsetof(iommu_hwpt_get_dirty_bitmap, hwpt_id) == 4 &&
              offsetof(iommu_hwpt_get_dirty_bitmap, flags) == 8 &&
              offsetof(iommu_hwpt_get_dirty_bitmap, __reserved) == 12 &&
              offsetof(iommu_hwpt_get_dirty_bitmap, iova) == 16 &&
              offsetof(iommu_hwpt_get_dirty_bitmap, length) == 24 &&
              offsetof(iommu_hwpt_get_dirty_bitmap, page_size) == 32 &&
              offsetof(iommu_hwpt_get_dirty_bitmap, data) == 40);

inline constexpr Request IOMMU_HWPT_GET_DIRTY_BITMAP =
    io(IOMMUFD_TYPE, IOMMUFD_CMD_HWPT_GET_DIRTY_BITMAP);

// ---- Invalidation of nested tables

inline constexpr std::uint32_t IOMMU_HWPT_INVALIDATE_DATA_VTD_S1 = 0;
inline constexpr std::uint32_t IOMMU_VTD_INV_FLAGS_LEAF = 1U << 0;

struct iommu_hwpt_vtd_s1_invalidate {
    std::uint64_t addr;
    std::uint64_t npages;
    std::uint32_t flags;  // IOMMU_VTD_INV_FLAGS_LEAF
    std::uint32_t __reserved;
};
static_assert(sizeof(iommu_hwpt_vtd_s1_invalidate) == 24 &&
              offsetof(iommu_hwpt_vtd_s1_invalidate, npages) == 8 &&
              offsetof(iommu_hwpt_vtd_s1_invalidate, flags) == 16 &&
              offsetof(iommu_hwpt_vtd_s1_invalidate, __reserved) == 20);

struct iommu_hwpt_invalidate {
    std::uint32_t size;
    std::uint32_t hwpt_id;
    std::uint64_t data_uptr;
    std::uint32_t data_type;
    std::uint32_t entry_len;
    std::uint32_t entry_num;  // entries passed; written back: entries handled
    std::uint32_t __reserved;
};
static_assert(sizeof(iommu_hwpt_invalidate) == 32 &&
              offsetof(iommu_hwpt_invalidate, hwpt_id) == 4 &&
              offsetof(iommu_hwpt_invalidate, data_uptr) == 8 &&
              offsetof(iommu_hwpt_invalidate, data_type) == 16 &&
              offsetof(iommu_hwpt_invalidate, entry_len) == 20 &&
              offsetof(iommu_hwpt_invalidate, entry_num) == 24 &&
              offsetof(iommu_hwpt_invalidate, __reserved) == 28);

inline constexpr Request IOMMU_HWPT_INVALIDATE = io(IOMMUFD_TYPE, IOMMUFD_CMD_HWPT_INVALIDATE);

// ---- Page faults

inline constexpr std::uint32_t IOMMU_PGFAULT_FLAGS_PASID_VALID = 1U << 0;
inline constexpr std::uint32_t IOMMU_PGFAULT_FLAGS_LAST_PAGE = 1U << 1;

inline constexpr std::uint32_t IOMMU_PGFAULT_PERM_READ = 1U << 0;
inline constexpr std::uint32_t IOMMU_PGFAULT_PERM_WRITE = 1U << 1;
inline constexpr std::uint32_t IOMMU_PGFAULT_PERM_EXEC = 1U << 2;
inline constexpr std::uint32_t IOMMU_PGFAULT_PERM_PRIV = 1U << 3;

// One record of read() on a fault queue.
struct iommu_hwpt_pgfault {
    std::uint32_t flags;  // IOMMU_PGFAULT_FLAGS_*
    std::uint32_t dev_id;
    std::uint32_t pasid;
    std::uint32_t grpid;
    std::uint32_t perm;  // IOMMU_PGFAULT_PERM_*
    std::uint32_t __reserved;
    std::uint64_t addr;
    std::uint32_t length;
    std::uint32_t cookie;
};
static_assert(sizeof(iommu_hwpt_pgfault) == 40 && offsetof(iommu_hwpt_pgfault, dev_id) == 4 &&
              offsetof(iommu_hwpt_pgfault, pasid) == 8 &&
              offsetof(iommu_hwpt_pgfault, grpid) == 12 &&
              offsetof(iommu_hwpt_pgfault, perm) == 16 &&
              offsetof(iommu_hwpt_pgfault, __reserved) == 20 &&
              offsetof(iommu_hwpt_pgfault, addr) == 24 &&
              offsetof(iommu_hwpt_pgfault, length) == 32 &&
              offsetof(iommu_hwpt_pgfault, cookie) == 36);

inline constexpr std::uint32_t IOMMUFD_PAGE_RESP_SUCCESS = 0;
inline constexpr std::uint32_t IOMMUFD_PAGE_RESP_INVALID = 1;

// One record of write() on a fault queue.
struct iommu_hwpt_page_response {
    std::uint32_t cookie;
    std::uint32_t code;  // IOMMUFD_PAGE_RESP_*
};
static_assert(sizeof(iommu_hwpt_page_response) == 8 &&
              offsetof(iommu_hwpt_page_response, code) == 4);

struct iommu_fault_alloc {
    std::uint32_t size;
    std::uint32_t flags;
    std::uint32_t out_fault_id;
    std::uint32_t out_fault_fd;
};
static_assert(sizeof(iommu_fault_alloc) == 16 && offsetof(iommu_fault_alloc, flags) == 4 &&
              offsetof(iommu_fault_alloc, out_fault_id) == 8 &&
              offsetof(iommu_fault_alloc, out_fault_fd) == 12);

inline constexpr Request IOMMU_FAULT_QUEUE_ALLOC = io(IOMMUFD_TYPE, IOMMUFD_CMD_FAULT_QUEUE_ALLOC);

// ---- Since 7.2

// Maps a range of a file: a memfd or another file of shared memory, or a dma-buf.
struct iommu_ioas_map_file {
    std::uint32_t size;
    std::uint32_t flags;  // IOMMU_IOAS_MAP_*
    std::uint32_t ioas_id;
    std::int32_t fd;
    std::uint64_t start;
    std::uint64_t length;
    std::uint64_t iova;
};
static_assert(sizeof(iommu_ioas_map_file) == 40 && offsetof(iommu_ioas_map_file, flags) == 4 &&
              offsetof(iommu_ioas_map_file, ioas_id) == 8 &&
              offsetof(iommu_ioas_map_file, fd) == 12 &&
              offsetof(iommu_ioas_map_file, start) == 16 &&
              offsetof(iommu_ioas_map_file, length) == 24 &&
              offsetof(iommu_ioas_map_file, iova) == 32);

inline constexpr Request IOMMU_IOAS_MAP_FILE = io(IOMMUFD_TYPE, IOMMUFD_CMD_IOAS_MAP_FILE);

inline constexpr std::uint32_t IOMMU_VIOMMU_TYPE_DEFAULT = 0;
inline constexpr std::uint32_t IOMMU_VIOMMU_TYPE_ARM_SMMUV3 = 1;
inline constexpr std::uint32_t IOMMU_VIOMMU_TYPE_TEGRA241_CMDQV = 2;

// A guest's IOMMU above a table that tables can be nested in. 24 bytes are the least, through
// out_viommu_id.
struct iommu_viommu_alloc {
    std::uint32_t size;
    std::uint32_t flags;
    std::uint32_t type;  // IOMMU_VIOMMU_TYPE_*
    std::uint32_t dev_id;
    std::uint32_t hwpt_id;
    std::uint32_t out_viommu_id;
    std::uint32_t data_len;
    std::uint32_t __reserved;
    std::uint64_t data_uptr;
};
static_assert(sizeof(iommu_viommu_alloc) == 40 && offsetof(iommu_viommu_alloc, flags) == 4 &&
              offsetof(iommu_viommu_alloc, type) == 8 &&
              offsetof(iommu_viommu_alloc, dev_id) == 12 &&
              offsetof(iommu_viommu_alloc, hwpt_id) == 16 &&
              offsetof(iommu_viommu_alloc, out_viommu_id) == 20 &&
              offsetof(iommu_viommu_alloc, data_len) == 24 &&
              offsetof(iommu_viommu_alloc, __reserved) == 28 &&
              offsetof(iommu_viommu_alloc, data_uptr) == 32);

inline constexpr Request IOMMU_VIOMMU_ALLOC = io(IOMMUFD_TYPE, IOMMUFD_CMD_VIOMMU_ALLOC);

// A device under the number that a guest's IOMMU knows it by.
struct iommu_vdevice_alloc {
    std::uint32_t size;
    std::uint32_t viommu_id;
    std::uint32_t dev_id;
    std::uint32_t out_vdevice_id;
    std::uint64_t virt_id;
};
static_assert(sizeof(iommu_vdevice_alloc) == 24 && offsetof(iommu_vdevice_alloc, viommu_id) == 4 &&
              offsetof(iommu_vdevice_alloc, dev_id) == 8 &&
              offsetof(iommu_vdevice_alloc, out_vdevice_id) == 12 &&
              offsetof(iommu_vdevice_alloc, virt_id) == 16);

inline constexpr Request IOMMU_VDEVICE_ALLOC = io(IOMMUFD_TYPE, IOMMUFD_CMD_VDEVICE_ALLOC);

// Moves the charge of every address space of a descriptor to the caller.
struct iommu_ioas_change_process {
    std::uint32_t size;
    std::uint32_t __reserved;
};
static_assert(sizeof(iommu_ioas_change_process) == 8 &&
              offsetof(iommu_ioas_change_process, __reserved) == 4);

inline constexpr Request IOMMU_IOAS_CHANGE_PROCESS =
    io(IOMMUFD_TYPE, IOMMUFD_CMD_IOAS_CHANGE_PROCESS);

inline constexpr std::uint32_t IOMMU_VEVENTQ_TYPE_DEFAULT = 0;
inline constexpr std::uint32_t IOMMU_VEVENTQ_TYPE_ARM_SMMUV3 = 1;
inline constexpr std::uint32_t IOMMU_VEVENTQ_TYPE_TEGRA241_CMDQV = 2;

// A queue of events for a guest's IOMMU. 28 bytes are the least, through out_veventq_fd.
struct iommu_veventq_alloc {
    std::uint32_t size;
    std::uint32_t flags;
    std::uint32_t viommu_id;
    std::uint32_t type;  // IOMMU_VEVENTQ_TYPE_*
    std::uint32_t veventq_depth;
    std::uint32_t out_veventq_id;
    std::uint32_t out_veventq_fd;
    std::uint32_t __reserved;
};
static_assert(sizeof(iommu_veventq_alloc) == 32 && offsetof(iommu_veventq_alloc, flags) == 4 &&
              offsetof(iommu_veventq_alloc, viommu_id) == 8 &&
              offsetof(iommu_veventq_alloc, type) == 12 &&
              offsetof(iommu_veventq_alloc, veventq_depth) == 16 &&
              offsetof(iommu_veventq_alloc, out_veventq_id) == 20 &&
              offsetof(iommu_veventq_alloc, out_veventq_fd) == 24 &&
              offsetof(iommu_veventq_alloc, __reserved) == 28);

inline constexpr Request IOMMU_VEVENTQ_ALLOC = io(IOMMUFD_TYPE, IOMMUFD_CMD_VEVENTQ_ALLOC);

inline constexpr std::uint32_t IOMMU_HW_QUEUE_TYPE_DEFAULT = 0;
inline constexpr std::uint32_t IOMMU_HW_QUEUE_TYPE_TEGRA241_CMDQV = 1;

// A queue of commands that a guest's IOMMU reads from the guest's memory.
struct iommu_hw_queue_alloc {
    std::uint32_t size;
    std::uint32_t flags;
    std::uint32_t viommu_id;
    std::uint32_t type;  // IOMMU_HW_QUEUE_TYPE_*
    std::uint32_t index;
    std::uint32_t out_hw_queue_id;
    std::uint64_t nesting_parent_iova;
    std::uint64_t length;
};
static_assert(sizeof(iommu_hw_queue_alloc) == 40 && offsetof(iommu_hw_queue_alloc, flags) == 4 &&
              offsetof(iommu_hw_queue_alloc, viommu_id) == 8 &&
              offsetof(iommu_hw_queue_alloc, type) == 12 &&
              offsetof(iommu_hw_queue_alloc, index) == 16 &&
              offsetof(iommu_hw_queue_alloc, out_hw_queue_id) == 20 &&
              offsetof(iommu_hw_queue_alloc, nesting_parent_iova) == 24 &&
              offsetof(iommu_hw_queue_alloc, length) == 32);

inline constexpr Request IOMMU_HW_QUEUE_ALLOC = io(IOMMUFD_TYPE, IOMMUFD_CMD_HW_QUEUE_ALLOC);

}  // namespace kvmiommu::uapi
