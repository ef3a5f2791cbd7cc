// SPDX-License-Identifier: MIT
//
// The VFIO user interface of Linux 6.12: containers, groups, devices, type 1, sPAPR, EEH.
//
// Names, numbers and layouts are those of include/uapi/linux/vfio.h; tests compare them with the
// system's own header where one is installed. User addresses are plain 64-bit numbers here. A
// struct that ends in an array of open length stops before it; the comment says what follows.

#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "uapi/ioctl.h"

#if defined(VFIO_API_VERSION)
#error "<linux/vfio.h> came first: its macros would replace the names of this header"
#endif

namespace kvmiommu::uapi {

// ---- Requests and what they return

// Every request is _IO(';', 100 + n): it has neither direction nor size. A struct has its own
// length in argsz, the first field; the kernel copies the part it needs and refuses less. The same
// n means different things on a container, a group and a device.

inline constexpr std::uint32_t VFIO_API_VERSION = 0;
inline constexpr std::uint32_t VFIO_TYPE = 0x3b;  // ';', which iommufd shares
inline constexpr std::uint32_t VFIO_BASE = 100;

// Begins each entry of a chain of capabilities; next counts from the start of the block, 0 ends.
struct vfio_info_cap_header {
    std::uint16_t id;
    std::uint16_t version;
    std::uint32_t next;
};
static_assert(sizeof(vfio_info_cap_header) == 8 && offsetof(vfio_info_cap_header, version) == 2 &&
              offsetof(vfio_info_cap_header, next) == 4);

// ---- Container: /dev/vfio/vfio

// IOMMU drivers and abilities: the argument of VFIO_CHECK_EXTENSION and VFIO_SET_IOMMU.

inline constexpr std::uint32_t VFIO_TYPE1_IOMMU = 1;
inline constexpr std::uint32_t VFIO_SPAPR_TCE_IOMMU = 2;
inline constexpr std::uint32_t VFIO_TYPE1v2_IOMMU = 3;
inline constexpr std::uint32_t VFIO_DMA_CC_IOMMU = 4;  // every domain enforces cache coherency
inline constexpr std::uint32_t VFIO_EEH = 5;
inline constexpr std::uint32_t VFIO_TYPE1_NESTING_IOMMU = 6;
inline constexpr std::uint32_t VFIO_SPAPR_TCE_v2_IOMMU = 7;
inline constexpr std::uint32_t VFIO_NOIOMMU_IOMMU = 8;
inline constexpr std::uint32_t VFIO_UNMAP_ALL = 9;
inline constexpr std::uint32_t VFIO_UPDATE_VADDR = 10;

inline constexpr Request VFIO_GET_API_VERSION = io(VFIO_TYPE, VFIO_BASE + 0);
inline constexpr Request VFIO_CHECK_EXTENSION = io(VFIO_TYPE, VFIO_BASE + 1);
inline constexpr Request VFIO_SET_IOMMU = io(VFIO_TYPE, VFIO_BASE + 2);

// ---- Group: /dev/vfio/N

// Argument of VFIO_GROUP_GET_STATUS.
struct vfio_group_status {
    std::uint32_t argsz;
    std::uint32_t flags;  // VFIO_GROUP_FLAGS_*
};
static_assert(sizeof(vfio_group_status) == 8 && offsetof(vfio_group_status, flags) == 4);

// No device of the group is in use by a kernel driver that does its own DMA.
inline constexpr std::uint32_t VFIO_GROUP_FLAGS_VIABLE = 1U << 0;
inline constexpr std::uint32_t VFIO_GROUP_FLAGS_CONTAINER_SET = 1U << 1;

inline constexpr Request VFIO_GROUP_GET_STATUS = io(VFIO_TYPE, VFIO_BASE + 3);
// An int *: a container, or an iommufd.
inline constexpr Request VFIO_GROUP_SET_CONTAINER = io(VFIO_TYPE, VFIO_BASE + 4);
inline constexpr Request VFIO_GROUP_UNSET_CONTAINER = io(VFIO_TYPE, VFIO_BASE + 5);
// A char *: the device's name; returns the descriptor.
inline constexpr Request VFIO_GROUP_GET_DEVICE_FD = io(VFIO_TYPE, VFIO_BASE + 6);

// ---- Device

// Argument of VFIO_DEVICE_GET_INFO; 16 bytes are the least, through num_irqs.
struct vfio_device_info {
    std::uint32_t argsz;
    std::uint32_t flags;  // VFIO_DEVICE_FLAGS_*
    std::uint32_t num_regions;
    std::uint32_t num_irqs;
    std::uint32_t cap_offset;
    std::uint32_t pad;
};
static_assert(sizeof(vfio_device_info) == 24 && offsetof(vfio_device_info, flags) == 4 &&
              offsetof(vfio_device_info, num_regions) == 8 &&
              offsetof(vfio_device_info, num_irqs) == 12 &&
              offsetof(vfio_device_info, cap_offset) == 16 &&
              offsetof(vfio_device_info, pad) == 20);

inline constexpr std::uint32_t VFIO_DEVICE_FLAGS_RESET = 1U << 0;
inline constexpr std::uint32_t VFIO_DEVICE_FLAGS_PCI = 1U << 1;
inline constexpr std::uint32_t VFIO_DEVICE_FLAGS_PLATFORM = 1U << 2;
inline constexpr std::uint32_t VFIO_DEVICE_FLAGS_AMBA = 1U << 3;
inline constexpr std::uint32_t VFIO_DEVICE_FLAGS_CCW = 1U << 4;
inline constexpr std::uint32_t VFIO_DEVICE_FLAGS_AP = 1U << 5;
inline constexpr std::uint32_t VFIO_DEVICE_FLAGS_FSL_MC = 1U << 6;
inline constexpr std::uint32_t VFIO_DEVICE_FLAGS_CAPS = 1U << 7;
inline constexpr std::uint32_t VFIO_DEVICE_FLAGS_CDX = 1U << 8;

inline constexpr Request VFIO_DEVICE_GET_INFO = io(VFIO_TYPE, VFIO_BASE + 7);

// How sysfs names a mediated device's kind (device_api).
inline constexpr std::string_view VFIO_DEVICE_API_PCI_STRING = "vfio-pci";
inline constexpr std::string_view VFIO_DEVICE_API_PLATFORM_STRING = "vfio-platform";
inline constexpr std::string_view VFIO_DEVICE_API_AMBA_STRING = "vfio-amba";
inline constexpr std::string_view VFIO_DEVICE_API_CCW_STRING = "vfio-ccw";
inline constexpr std::string_view VFIO_DEVICE_API_AP_STRING = "vfio-ap";

// Capabilities of a device. The ZPCI structs of s390 have a header of their own and are not here.
inline constexpr std::uint32_t VFIO_DEVICE_INFO_CAP_ZPCI_BASE = 1;
inline constexpr std::uint32_t VFIO_DEVICE_INFO_CAP_ZPCI_GROUP = 2;
inline constexpr std::uint32_t VFIO_DEVICE_INFO_CAP_ZPCI_UTIL = 3;
inline constexpr std::uint32_t VFIO_DEVICE_INFO_CAP_ZPCI_PFIP = 4;
inline constexpr std::uint32_t VFIO_DEVICE_INFO_CAP_PCI_ATOMIC_COMP = 5;

// Which PCIe atomic operations the root port completes.
struct vfio_device_info_cap_pci_atomic_comp {
    vfio_info_cap_header header;
    std::uint32_t flags;  // VFIO_PCI_ATOMIC_COMP*
    std::uint32_t reserved;
};
static_assert(sizeof(vfio_device_info_cap_pci_atomic_comp) == 16 &&
              offsetof(vfio_device_info_cap_pci_atomic_comp, flags) == 8 &&
              offsetof(vfio_device_info_cap_pci_atomic_comp, reserved) == 12);

inline constexpr std::uint32_t VFIO_PCI_ATOMIC_COMP32 = 1U << 0;
inline constexpr std::uint32_t VFIO_PCI_ATOMIC_COMP64 = 1U << 1;
inline constexpr std::uint32_t VFIO_PCI_ATOMIC_COMP128 = 1U << 2;

// ---- Regions

// Argument of VFIO_DEVICE_GET_REGION_INFO; offset is that of the region in the device's file.
struct vfio_region_info {
    std::uint32_t argsz;
    std::uint32_t flags;  // VFIO_REGION_INFO_FLAG_*
    std::uint32_t index;
    std::uint32_t cap_offset;
    std::uint64_t size;
    std::uint64_t offset;
};
static_assert(sizeof(vfio_region_info) == 32 && offsetof(vfio_region_info, flags) == 4 &&
              offsetof(vfio_region_info, index) == 8 &&
              offsetof(vfio_region_info, cap_offset) == 12 &&
              offsetof(vfio_region_info, size) == 16 && offsetof(vfio_region_info, offset) == 24);

inline constexpr std::uint32_t VFIO_REGION_INFO_FLAG_READ = 1U << 0;
inline constexpr std::uint32_t VFIO_REGION_INFO_FLAG_WRITE = 1U << 1;
inline constexpr std::uint32_t VFIO_REGION_INFO_FLAG_MMAP = 1U << 2;
inline constexpr std::uint32_t VFIO_REGION_INFO_FLAG_CAPS = 1U << 3;

inline constexpr Request VFIO_DEVICE_GET_REGION_INFO = io(VFIO_TYPE, VFIO_BASE + 8);

// Capabilities of a region.
inline constexpr std::uint32_t VFIO_REGION_INFO_CAP_SPARSE_MMAP = 1;
inline constexpr std::uint32_t VFIO_REGION_INFO_CAP_TYPE = 2;
// Only a header: the MSI-X table may be mapped too.
inline constexpr std::uint32_t VFIO_REGION_INFO_CAP_MSIX_MAPPABLE = 3;
inline constexpr std::uint32_t VFIO_REGION_INFO_CAP_NVLINK2_SSATGT = 4;
inline constexpr std::uint32_t VFIO_REGION_INFO_CAP_NVLINK2_LNKSPD = 5;

// A part of a region that may be mapped.
struct vfio_region_sparse_mmap_area {
    std::uint64_t offset;
    std::uint64_t size;
};
static_assert(sizeof(vfio_region_sparse_mmap_area) == 16 &&
              offsetof(vfio_region_sparse_mmap_area, size) == 8);

// Tail: nr_areas times vfio_region_sparse_mmap_area.
struct vfio_region_info_cap_sparse_mmap {
    vfio_info_cap_header header;
    std::uint32_t nr_areas;
    std::uint32_t reserved;
};
static_assert(sizeof(vfio_region_info_cap_sparse_mmap) == 16 &&
              offsetof(vfio_region_info_cap_sparse_mmap, nr_areas) == 8 &&
              offsetof(vfio_region_info_cap_sparse_mmap, reserved) == 12);

// The type of a region beyond the fixed indexes.
struct vfio_region_info_cap_type {
    vfio_info_cap_header header;
    std::uint32_t type;     // VFIO_REGION_TYPE_*
    std::uint32_t subtype;  // VFIO_REGION_SUBTYPE_*, meaningful within the type
};
static_assert(sizeof(vfio_region_info_cap_type) == 16 &&
              offsetof(vfio_region_info_cap_type, type) == 8 &&
              offsetof(vfio_region_info_cap_type, subtype) == 12);

// The low 16 bits are then a PCI vendor.
inline constexpr std::uint32_t VFIO_REGION_TYPE_PCI_VENDOR_TYPE = 1U << 31;
inline constexpr std::uint32_t VFIO_REGION_TYPE_PCI_VENDOR_MASK = 0xffff;

inline constexpr std::uint32_t VFIO_REGION_TYPE_GFX = 1;
inline constexpr std::uint32_t VFIO_REGION_TYPE_CCW = 2;
inline constexpr std::uint32_t VFIO_REGION_TYPE_MIGRATION_DEPRECATED = 3;

inline constexpr std::uint32_t VFIO_REGION_SUBTYPE_INTEL_IGD_OPREGION = 1;
inline constexpr std::uint32_t VFIO_REGION_SUBTYPE_INTEL_IGD_HOST_CFG = 2;
inline constexpr std::uint32_t VFIO_REGION_SUBTYPE_INTEL_IGD_LPC_CFG = 3;

inline constexpr std::uint32_t VFIO_REGION_SUBTYPE_NVIDIA_NVLINK2_RAM = 1;

inline constexpr std::uint32_t VFIO_REGION_SUBTYPE_IBM_NVLINK2_ATSD = 1;

inline constexpr std::uint32_t VFIO_REGION_SUBTYPE_GFX_EDID = 1;

inline constexpr std::uint32_t VFIO_REGION_SUBTYPE_CCW_ASYNC_CMD = 1;
inline constexpr std::uint32_t VFIO_REGION_SUBTYPE_CCW_SCHIB = 2;
inline constexpr std::uint32_t VFIO_REGION_SUBTYPE_CCW_CRW = 3;

inline constexpr std::uint32_t VFIO_REGION_SUBTYPE_MIGRATION_DEPRECATED = 1;

// The control words at the start of an EDID region.
struct vfio_region_gfx_edid {
    std::uint32_t edid_offset;
    std::uint32_t edid_max_size;
    std::uint32_t edid_size;
    std::uint32_t max_xres;
    std::uint32_t max_yres;
    std::uint32_t link_state;  // VFIO_DEVICE_GFX_LINK_STATE_*
};
static_assert(sizeof(vfio_region_gfx_edid) == 24 &&
              offsetof(vfio_region_gfx_edid, edid_max_size) == 4 &&
              offsetof(vfio_region_gfx_edid, edid_size) == 8 &&
              offsetof(vfio_region_gfx_edid, max_xres) == 12 &&
              offsetof(vfio_region_gfx_edid, max_yres) == 16 &&
              offsetof(vfio_region_gfx_edid, link_state) == 20);

inline constexpr std::uint32_t VFIO_DEVICE_GFX_LINK_STATE_UP = 1;
inline constexpr std::uint32_t VFIO_DEVICE_GFX_LINK_STATE_DOWN = 2;

// The migration region of the first protocol, which the feature replaced.
struct vfio_device_migration_info {
    std::uint32_t device_state;  // VFIO_DEVICE_STATE_V1_*
    std::uint32_t reserved;
    std::uint64_t pending_bytes;
    std::uint64_t data_offset;
    std::uint64_t data_size;
};
static_assert(sizeof(vfio_device_migration_info) == 32 &&
              offsetof(vfio_device_migration_info, reserved) == 4 &&
              offsetof(vfio_device_migration_info, pending_bytes) == 8 &&
              offsetof(vfio_device_migration_info, data_offset) == 16 &&
              offsetof(vfio_device_migration_info, data_size) == 24);

inline constexpr std::uint32_t VFIO_DEVICE_STATE_V1_STOP = 0;
inline constexpr std::uint32_t VFIO_DEVICE_STATE_V1_RUNNING = 1U << 0;
inline constexpr std::uint32_t VFIO_DEVICE_STATE_V1_SAVING = 1U << 1;
inline constexpr std::uint32_t VFIO_DEVICE_STATE_V1_RESUMING = 1U << 2;
inline constexpr std::uint32_t VFIO_DEVICE_STATE_MASK =
    VFIO_DEVICE_STATE_V1_RUNNING | VFIO_DEVICE_STATE_V1_SAVING | VFIO_DEVICE_STATE_V1_RESUMING;

// Address at which the GPU's memory appears on its link.
struct vfio_region_info_cap_nvlink2_ssatgt {
    vfio_info_cap_header header;
    std::uint64_t tgt;
};
static_assert(sizeof(vfio_region_info_cap_nvlink2_ssatgt) == 16 &&
              offsetof(vfio_region_info_cap_nvlink2_ssatgt, tgt) == 8);

struct vfio_region_info_cap_nvlink2_lnkspd {
    vfio_info_cap_header header;
    std::uint32_t link_speed;
    std::uint32_t __pad;
};
static_assert(sizeof(vfio_region_info_cap_nvlink2_lnkspd) == 16 &&
              offsetof(vfio_region_info_cap_nvlink2_lnkspd, link_speed) == 8 &&
              offsetof(vfio_region_info_cap_nvlink2_lnkspd, __pad) == 12);

// ---- Interrupts

// Argument of VFIO_DEVICE_GET_IRQ_INFO.
struct vfio_irq_info {
    std::uint32_t argsz;
    std::uint32_t flags;  // VFIO_IRQ_INFO_*
    std::uint32_t index;
    std::uint32_t count;
};
static_assert(sizeof(vfio_irq_info) == 16 && offsetof(vfio_irq_info, flags) == 4 &&
              offsetof(vfio_irq_info, index) == 8 && offsetof(vfio_irq_info, count) == 12);

inline constexpr std::uint32_t VFIO_IRQ_INFO_EVENTFD = 1U << 0;
inline constexpr std::uint32_t VFIO_IRQ_INFO_MASKABLE = 1U << 1;
inline constexpr std::uint32_t VFIO_IRQ_INFO_AUTOMASKED = 1U << 2;
inline constexpr std::uint32_t VFIO_IRQ_INFO_NORESIZE = 1U << 3;

inline constexpr Request VFIO_DEVICE_GET_IRQ_INFO = io(VFIO_TYPE, VFIO_BASE + 9);

// Argument of VFIO_DEVICE_SET_IRQS. Tail: count times u8 (BOOL) or s32 (EVENTFD), from byte 20.
struct vfio_irq_set {
    std::uint32_t argsz;
    std::uint32_t flags;  // one VFIO_IRQ_SET_DATA_* and one VFIO_IRQ_SET_ACTION_*
    std::uint32_t index;
    std::uint32_t start;
    std::uint32_t count;
};
static_assert(sizeof(vfio_irq_set) == 20 && offsetof(vfio_irq_set, flags) == 4 &&
              offsetof(vfio_irq_set, index) == 8 && offsetof(vfio_irq_set, start) == 12 &&
              offsetof(vfio_irq_set, count) == 16);

inline constexpr std::uint32_t VFIO_IRQ_SET_DATA_NONE = 1U << 0;
inline constexpr std::uint32_t VFIO_IRQ_SET_DATA_BOOL = 1U << 1;
inline constexpr std::uint32_t VFIO_IRQ_SET_DATA_EVENTFD = 1U << 2;
inline constexpr std::uint32_t VFIO_IRQ_SET_ACTION_MASK = 1U << 3;
inline constexpr std::uint32_t VFIO_IRQ_SET_ACTION_UNMASK = 1U << 4;
inline constexpr std::uint32_t VFIO_IRQ_SET_ACTION_TRIGGER = 1U << 5;
inline constexpr std::uint32_t VFIO_IRQ_SET_DATA_TYPE_MASK =
    VFIO_IRQ_SET_DATA_NONE | VFIO_IRQ_SET_DATA_BOOL | VFIO_IRQ_SET_DATA_EVENTFD;
inline constexpr std::uint32_t VFIO_IRQ_SET_ACTION_TYPE_MASK =
    VFIO_IRQ_SET_ACTION_MASK | VFIO_IRQ_SET_ACTION_UNMASK | VFIO_IRQ_SET_ACTION_TRIGGER;

inline constexpr Request VFIO_DEVICE_SET_IRQS = io(VFIO_TYPE, VFIO_BASE + 10);
inline constexpr Request VFIO_DEVICE_RESET = io(VFIO_TYPE, VFIO_BASE + 11);

// ---- Fixed indexes of a bus

inline constexpr std::uint32_t VFIO_PCI_BAR0_REGION_INDEX = 0;
inline constexpr std::uint32_t VFIO_PCI_BAR1_REGION_INDEX = 1;
inline constexpr std::uint32_t VFIO_PCI_BAR2_REGION_INDEX = 2;
inline constexpr std::uint32_t VFIO_PCI_BAR3_REGION_INDEX = 3;
inline constexpr std::uint32_t VFIO_PCI_BAR4_REGION_INDEX = 4;
inline constexpr std::uint32_t VFIO_PCI_BAR5_REGION_INDEX = 5;
inline constexpr std::uint32_t VFIO_PCI_ROM_REGION_INDEX = 6;
inline constexpr std::uint32_t VFIO_PCI_CONFIG_REGION_INDEX = 7;
inline constexpr std::uint32_t VFIO_PCI_VGA_REGION_INDEX = 8;
// Stays 9: further regions are identified by their region type.
inline constexpr std::uint32_t VFIO_PCI_NUM_REGIONS = 9;

inline constexpr std::uint32_t VFIO_PCI_INTX_IRQ_INDEX = 0;
inline constexpr std::uint32_t VFIO_PCI_MSI_IRQ_INDEX = 1;
inline constexpr std::uint32_t VFIO_PCI_MSIX_IRQ_INDEX = 2;
inline constexpr std::uint32_t VFIO_PCI_ERR_IRQ_INDEX = 3;
inline constexpr std::uint32_t VFIO_PCI_REQ_IRQ_INDEX = 4;
inline constexpr std::uint32_t VFIO_PCI_NUM_IRQS = 5;

inline constexpr std::uint32_t VFIO_CCW_CONFIG_REGION_INDEX = 0;
inline constexpr std::uint32_t VFIO_CCW_NUM_REGIONS = 1;

inline constexpr std::uint32_t VFIO_CCW_IO_IRQ_INDEX = 0;
inline constexpr std::uint32_t VFIO_CCW_CRW_IRQ_INDEX = 1;
inline constexpr std::uint32_t VFIO_CCW_REQ_IRQ_INDEX = 2;
inline constexpr std::uint32_t VFIO_CCW_NUM_IRQS = 3;

inline constexpr std::uint32_t VFIO_AP_REQ_IRQ_INDEX = 0;
inline constexpr std::uint32_t VFIO_AP_NUM_IRQS = 1;

// ---- PCI hot reset

// A function that a bus reset would reset too.
struct vfio_pci_dependent_device {
    union {
        std::uint32_t group_id;
        std::uint32_t devid;  // with VFIO_PCI_HOT_RESET_FLAG_DEV_ID
    };
    std::uint16_t segment;
    std::uint8_t bus;
    std::uint8_t devfn;
};
static_assert(sizeof(vfio_pci_dependent_device) == 8 &&
              offsetof(vfio_pci_dependent_device, devid) == 0 &&
              offsetof(vfio_pci_dependent_device, segment) == 4 &&
              offsetof(vfio_pci_dependent_device, bus) == 6 &&
              offsetof(vfio_pci_dependent_device, devfn) == 7);

inline constexpr std::int32_t VFIO_PCI_DEVID_OWNED = 0;
inline constexpr std::int32_t VFIO_PCI_DEVID_NOT_OWNED = -1;

// Tail: count times vfio_pci_dependent_device, from byte 12.
struct vfio_pci_hot_reset_info {
    std::uint32_t argsz;
    std::uint32_t flags;  // VFIO_PCI_HOT_RESET_FLAG_*
    std::uint32_t count;
};
static_assert(sizeof(vfio_pci_hot_reset_info) == 12 &&
              offsetof(vfio_pci_hot_reset_info, flags) == 4 &&
              offsetof(vfio_pci_hot_reset_info, count) == 8);

inline constexpr std::uint32_t VFIO_PCI_HOT_RESET_FLAG_DEV_ID = 1U << 0;
inline constexpr std::uint32_t VFIO_PCI_HOT_RESET_FLAG_DEV_ID_OWNED = 1U << 1;

inline constexpr Request VFIO_DEVICE_GET_PCI_HOT_RESET_INFO = io(VFIO_TYPE, VFIO_BASE + 12);

// Tail: count group descriptors (s32), from byte 12; none in the iommufd manner.
struct vfio_pci_hot_reset {
    std::uint32_t argsz;
    std::uint32_t flags;
    std::uint32_t count;
};
static_assert(sizeof(vfio_pci_hot_reset) == 12 && offsetof(vfio_pci_hot_reset, flags) == 4 &&
              offsetof(vfio_pci_hot_reset, count) == 8);

inline constexpr Request VFIO_DEVICE_PCI_HOT_RESET = io(VFIO_TYPE, VFIO_BASE + 13);

// ---- Graphics plane

// Argument of VFIO_DEVICE_QUERY_GFX_PLANE.
struct vfio_device_gfx_plane_info {
    std::uint32_t argsz;
    std::uint32_t flags;  // VFIO_GFX_PLANE_TYPE_*
    std::uint32_t drm_plane_type;
    std::uint32_t drm_format;
    std::uint64_t drm_format_mod;
    std::uint32_t width;
    std::uint32_t height;
    std::uint32_t stride;
    std::uint32_t size;
    std::uint32_t x_pos;
    std::uint32_t y_pos;
    std::uint32_t x_hot;
    std::uint32_t y_hot;
    union {
        std::uint32_t region_index;
        std::uint32_t dmabuf_id;
    };
    std::uint32_t reserved;
};
static_assert(sizeof(vfio_device_gfx_plane_info) == 64 &&
              offsetof(vfio_device_gfx_plane_info, flags) == 4 &&
              offsetof(vfio_device_gfx_plane_info, drm_plane_type) == 8 &&
              offsetof(vfio_device_gfx_plane_info, drm_format) == 12 &&
              offsetof(vfio_device_gfx_plane_info, drm_format_mod) == 16 &&
              offsetof(vfio_device_gfx_plane_info, width) == 24 &&
              offsetof(vfio_device_gfx_plane_info, height) == 28 &&
              offsetof(vfio_device_gfx_plane_info, stride) == 32 &&
              offsetof(vfio_device_gfx_plane_info, size) == 36 &&
              offsetof(vfio_device_gfx_plane_info, x_pos) == 40 &&
              offsetof(vfio_device_gfx_plane_info, y_pos) == 44 &&
              offsetof(vfio_device_gfx_plane_info, x_hot) == 48 &&
              offsetof(vfio_device_gfx_plane_info, y_hot) == 52 &&
              offsetof(vfio_device_gfx_plane_info, region_index) == 56 &&
              offsetof(vfio_device_gfx_plane_info, dmabuf_id) == 56 &&
              offsetof(vfio_device_gfx_plane_info, reserved) == 60);

inline constexpr std::uint32_t VFIO_GFX_PLANE_TYPE_PROBE = 1U << 0;
inline constexpr std::uint32_t VFIO_GFX_PLANE_TYPE_DMABUF = 1U << 1;
inline constexpr std::uint32_t VFIO_GFX_PLANE_TYPE_REGION = 1U << 2;

inline constexpr Request VFIO_DEVICE_QUERY_GFX_PLANE = io(VFIO_TYPE, VFIO_BASE + 14);
// A u32 *: a dmabuf_id; returns the descriptor.
inline constexpr Request VFIO_DEVICE_GET_GFX_DMABUF = io(VFIO_TYPE, VFIO_BASE + 15);

// ---- Writes by eventfd

// Argument of VFIO_DEVICE_IOEVENTFD: a signal of fd writes data to the region; fd -1 ends it.
struct vfio_device_ioeventfd {
    std::uint32_t argsz;
    std::uint32_t flags;  // one VFIO_DEVICE_IOEVENTFD_*: the width
    std::uint64_t offset;
    std::uint64_t data;
    std::int32_t fd;
    std::uint32_t reserved;
};
static_assert(sizeof(vfio_device_ioeventfd) == 32 && offsetof(vfio_device_ioeventfd, flags) == 4 &&
              offsetof(vfio_device_ioeventfd, offset) == 8 &&
              offsetof(vfio_device_ioeventfd, data) == 16 &&
              offsetof(vfio_device_ioeventfd, fd) == 24 &&
              offsetof(vfio_device_ioeventfd, reserved) == 28);

inline constexpr std::uint32_t VFIO_DEVICE_IOEVENTFD_8 = 1U << 0;
inline constexpr std::uint32_t VFIO_DEVICE_IOEVENTFD_16 = 1U << 1;
inline constexpr std::uint32_t VFIO_DEVICE_IOEVENTFD_32 = 1U << 2;
inline constexpr std::uint32_t VFIO_DEVICE_IOEVENTFD_64 = 1U << 3;
inline constexpr std::uint32_t VFIO_DEVICE_IOEVENTFD_SIZE_MASK = 0xf;

inline constexpr Request VFIO_DEVICE_IOEVENTFD = io(VFIO_TYPE, VFIO_BASE + 16);

// ---- Features

// Argument of VFIO_DEVICE_FEATURE. Tail: the feature's own struct, from byte 8.
struct vfio_device_feature {
    std::uint32_t argsz;
    std::uint32_t flags;  // the feature, and what to do with it
};
static_assert(sizeof(vfio_device_feature) == 8 && offsetof(vfio_device_feature, flags) == 4);

inline constexpr std::uint32_t VFIO_DEVICE_FEATURE_MASK = 0xffff;
inline constexpr std::uint32_t VFIO_DEVICE_FEATURE_GET = 1U << 16;
inline constexpr std::uint32_t VFIO_DEVICE_FEATURE_SET = 1U << 17;
// Only check whether the device supports GET or SET.
inline constexpr std::uint32_t VFIO_DEVICE_FEATURE_PROBE = 1U << 18;

inline constexpr Request VFIO_DEVICE_FEATURE = io(VFIO_TYPE, VFIO_BASE + 17);

// 16 bytes: the UUID that virtual functions must name.
inline constexpr std::uint32_t VFIO_DEVICE_FEATURE_PCI_VF_TOKEN = 0;
inline constexpr std::uint32_t VFIO_DEVICE_FEATURE_MIGRATION = 1;
inline constexpr std::uint32_t VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE = 2;
inline constexpr std::uint32_t VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY = 3;
inline constexpr std::uint32_t VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY_WITH_WAKEUP = 4;
inline constexpr std::uint32_t VFIO_DEVICE_FEATURE_LOW_POWER_EXIT = 5;
inline constexpr std::uint32_t VFIO_DEVICE_FEATURE_DMA_LOGGING_START = 6;
inline constexpr std::uint32_t VFIO_DEVICE_FEATURE_DMA_LOGGING_STOP = 7;
inline constexpr std::uint32_t VFIO_DEVICE_FEATURE_DMA_LOGGING_REPORT = 8;
inline constexpr std::uint32_t VFIO_DEVICE_FEATURE_MIG_DATA_SIZE = 9;
inline constexpr std::uint32_t VFIO_DEVICE_FEATURE_BUS_MASTER = 10;
// Since 7.2:
inline constexpr std::uint32_t VFIO_DEVICE_FEATURE_DMA_BUF = 11;
inline constexpr std::uint32_t VFIO_DEVICE_FEATURE_MIG_PRECOPY_INFOv2 = 12;

// Data of VFIO_DEVICE_FEATURE_MIGRATION: which protocol states exist.
struct vfio_device_feature_migration {
    std::uint64_t flags;  // VFIO_MIGRATION_*
};
static_assert(sizeof(vfio_device_feature_migration) == 8);

inline constexpr std::uint32_t VFIO_MIGRATION_STOP_COPY = 1U << 0;
inline constexpr std::uint32_t VFIO_MIGRATION_P2P = 1U << 1;
inline constexpr std::uint32_t VFIO_MIGRATION_PRE_COPY = 1U << 2;

// Data of VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE.
struct vfio_device_feature_mig_state {
    std::uint32_t device_state;  // VFIO_DEVICE_STATE_*
    std::int32_t data_fd;
};
static_assert(sizeof(vfio_device_feature_mig_state) == 8 &&
              offsetof(vfio_device_feature_mig_state, data_fd) == 4);

inline constexpr std::uint32_t VFIO_DEVICE_STATE_ERROR = 0;
inline constexpr std::uint32_t VFIO_DEVICE_STATE_STOP = 1;
inline constexpr std::uint32_t VFIO_DEVICE_STATE_RUNNING = 2;
inline constexpr std::uint32_t VFIO_DEVICE_STATE_STOP_COPY = 3;
inline constexpr std::uint32_t VFIO_DEVICE_STATE_RESUMING = 4;
inline constexpr std::uint32_t VFIO_DEVICE_STATE_RUNNING_P2P = 5;
inline constexpr std::uint32_t VFIO_DEVICE_STATE_PRE_COPY = 6;
inline constexpr std::uint32_t VFIO_DEVICE_STATE_PRE_COPY_P2P = 7;
inline constexpr std::uint32_t VFIO_DEVICE_STATE_NR = 8;

// Argument of VFIO_MIG_GET_PRECOPY_INFO, on the descriptor that carries the migration data.
struct vfio_precopy_info {
    std::uint32_t argsz;
    std::uint32_t flags;
    std::uint64_t initial_bytes;
    std::uint64_t dirty_bytes;
};
static_assert(sizeof(vfio_precopy_info) == 24 && offsetof(vfio_precopy_info, flags) == 4 &&
              offsetof(vfio_precopy_info, initial_bytes) == 8 &&
              offsetof(vfio_precopy_info, dirty_bytes) == 16);

inline constexpr Request VFIO_MIG_GET_PRECOPY_INFO = io(VFIO_TYPE, VFIO_BASE + 21);

struct vfio_device_low_power_entry_with_wakeup {
    std::int32_t wakeup_eventfd;
    std::uint32_t reserved;
};
static_assert(sizeof(vfio_device_low_power_entry_with_wakeup) == 8 &&
              offsetof(vfio_device_low_power_entry_with_wakeup, reserved) == 4);

// Data of VFIO_DEVICE_FEATURE_DMA_LOGGING_START.
struct vfio_device_feature_dma_logging_control {
    std::uint64_t page_size;
    std::uint32_t num_ranges;
    std::uint32_t __reserved;
    std::uint64_t ranges;  // address of vfio_device_feature_dma_logging_range[num_ranges]
};
static_assert(sizeof(vfio_device_feature_dma_logging_control) == 24 &&
              offsetof(vfio_device_feature_dma_logging_control, num_ranges) == 8 &&
              offsetof(vfio_device_feature_dma_logging_control, __reserved) == 12 &&
              offsetof(vfio_device_feature_dma_logging_control, ranges) == 16);

struct vfio_device_feature_dma_logging_range {
    std::uint64_t iova;
    std::uint64_t length;
};
static_assert(sizeof(vfio_device_feature_dma_logging_range) == 16 &&
              offsetof(vfio_device_feature_dma_logging_range, length) == 8);

struct vfio_device_feature_dma_logging_report {
    std::uint64_t iova;
    std::uint64_t length;
    std::uint64_t page_size;
    std::uint64_t bitmap;  // address: one bit a page of page_size, in words of 64 bits
};
static_assert(sizeof(vfio_device_feature_dma_logging_report) == 32 &&
              offsetof(vfio_device_feature_dma_logging_report, length) == 8 &&
              offsetof(vfio_device_feature_dma_logging_report, page_size) == 16 &&
              offsetof(vfio_device_feature_dma_logging_report, bitmap) == 24);

struct vfio_device_feature_mig_data_size {
    std::uint64_t stop_copy_length;
};
static_assert(sizeof(vfio_device_feature_mig_data_size) == 8);

struct vfio_device_feature_bus_master {
    std::uint32_t op;  // VFIO_DEVICE_FEATURE_*_MASTER
};
static_assert(sizeof(vfio_device_feature_bus_master) == 4);

inline constexpr std::uint32_t VFIO_DEVICE_FEATURE_CLEAR_MASTER = 0;
inline constexpr std::uint32_t VFIO_DEVICE_FEATURE_SET_MASTER = 1;

// ---- Device opened by itself: /dev/vfio/devices/vfioN

// Argument of VFIO_DEVICE_BIND_IOMMUFD.
struct vfio_device_bind_iommufd {
    std::uint32_t argsz;
    std::uint32_t flags;
    std::int32_t iommufd;
    std::uint32_t out_devid;
};
static_assert(sizeof(vfio_device_bind_iommufd) == 16 &&
              offsetof(vfio_device_bind_iommufd, flags) == 4 &&
              offsetof(vfio_device_bind_iommufd, iommufd) == 8 &&
              offsetof(vfio_device_bind_iommufd, out_devid) == 12);

inline constexpr Request VFIO_DEVICE_BIND_IOMMUFD = io(VFIO_TYPE, VFIO_BASE + 18);

// Argument of VFIO_DEVICE_ATTACH_IOMMUFD_PT: pt_id is an IOAS or a page table, and is written back.
struct vfio_device_attach_iommufd_pt {
    std::uint32_t argsz;
    std::uint32_t flags;
    std::uint32_t pt_id;
};
static_assert(sizeof(vfio_device_attach_iommufd_pt) == 12 &&
              offsetof(vfio_device_attach_iommufd_pt, flags) == 4 &&
              offsetof(vfio_device_attach_iommufd_pt, pt_id) == 8);

inline constexpr Request VFIO_DEVICE_ATTACH_IOMMUFD_PT = io(VFIO_TYPE, VFIO_BASE + 19);

struct vfio_device_detach_iommufd_pt {
    std::uint32_t argsz;
    std::uint32_t flags;
};
static_assert(sizeof(vfio_device_detach_iommufd_pt) == 8 &&
              offsetof(vfio_device_detach_iommufd_pt, flags) == 4);

inline constexpr Request VFIO_DEVICE_DETACH_IOMMUFD_PT = io(VFIO_TYPE, VFIO_BASE + 20);

// ---- Type 1

// Argument of VFIO_IOMMU_GET_INFO; 16 bytes are the least, through iova_pgsizes.
struct vfio_iommu_type1_info {
    std::uint32_t argsz;
    std::uint32_t flags;  // VFIO_IOMMU_INFO_*
    std::uint64_t iova_pgsizes;
    std::uint32_t cap_offset;
    std::uint32_t pad;
};
static_assert(sizeof(vfio_iommu_type1_info) == 24 && offsetof(vfio_iommu_type1_info, flags) == 4 &&
              offsetof(vfio_iommu_type1_info, iova_pgsizes) == 8 &&
              offsetof(vfio_iommu_type1_info, cap_offset) == 16 &&
              offsetof(vfio_iommu_type1_info, pad) == 20);

inline constexpr std::uint32_t VFIO_IOMMU_INFO_PGSIZES = 1U << 0;
inline constexpr std::uint32_t VFIO_IOMMU_INFO_CAPS = 1U << 1;

inline constexpr Request VFIO_IOMMU_GET_INFO = io(VFIO_TYPE, VFIO_BASE + 12);

// Capabilities of a type 1 container.
inline constexpr std::uint32_t VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE = 1;
inline constexpr std::uint32_t VFIO_IOMMU_TYPE1_INFO_CAP_MIGRATION = 2;
inline constexpr std::uint32_t VFIO_IOMMU_TYPE1_INFO_DMA_AVAIL = 3;

// Both ends are included.
struct vfio_iova_range {
    std::uint64_t start;
    std::uint64_t end;
};
static_assert(sizeof(vfio_iova_range) == 16 && offsetof(vfio_iova_range, end) == 8);

// Tail: nr_iovas times vfio_iova_range, from byte 16.
struct vfio_iommu_type1_info_cap_iova_range {
    vfio_info_cap_header header;
    std::uint32_t nr_iovas;
    std::uint32_t reserved;
};
static_assert(sizeof(vfio_iommu_type1_info_cap_iova_range) == 16 &&
              offsetof(vfio_iommu_type1_info_cap_iova_range, nr_iovas) == 8 &&
              offsetof(vfio_iommu_type1_info_cap_iova_range, reserved) == 12);

// Dirty pages can be tracked.
struct vfio_iommu_type1_info_cap_migration {
    vfio_info_cap_header header;
    std::uint32_t flags;
    std::uint64_t pgsize_bitmap;
    std::uint64_t max_dirty_bitmap_size;
};
static_assert(sizeof(vfio_iommu_type1_info_cap_migration) == 32 &&
              offsetof(vfio_iommu_type1_info_cap_migration, flags) == 8 &&
              offsetof(vfio_iommu_type1_info_cap_migration, pgsize_bitmap) == 16 &&
              offsetof(vfio_iommu_type1_info_cap_migration, max_dirty_bitmap_size) == 24);

// How many more mappings the container can have.
struct vfio_iommu_type1_info_dma_avail {
    vfio_info_cap_header header;
    std::uint32_t avail;
};
static_assert(sizeof(vfio_iommu_type1_info_dma_avail) == 12 &&
              offsetof(vfio_iommu_type1_info_dma_avail, avail) == 8);

// Argument of VFIO_IOMMU_MAP_DMA.
struct vfio_iommu_type1_dma_map {
    std::uint32_t argsz;
    std::uint32_t flags;  // VFIO_DMA_MAP_FLAG_*
    std::uint64_t vaddr;
    std::uint64_t iova;
    std::uint64_t size;
};
static_assert(sizeof(vfio_iommu_type1_dma_map) == 32 &&
              offsetof(vfio_iommu_type1_dma_map, flags) == 4 &&
              offsetof(vfio_iommu_type1_dma_map, vaddr) == 8 &&
              offsetof(vfio_iommu_type1_dma_map, iova) == 16 &&
              offsetof(vfio_iommu_type1_dma_map, size) == 24);

inline constexpr std::uint32_t VFIO_DMA_MAP_FLAG_READ = 1U << 0;  // the device may read
inline constexpr std::uint32_t VFIO_DMA_MAP_FLAG_WRITE = 1U << 1;
// Set a mapping's new user address.
inline constexpr std::uint32_t VFIO_DMA_MAP_FLAG_VADDR = 1U << 2;

inline constexpr Request VFIO_IOMMU_MAP_DMA = io(VFIO_TYPE, VFIO_BASE + 13);

struct vfio_bitmap {
    std::uint64_t pgsize;
    std::uint64_t size;  // in bytes
    std::uint64_t data;  // address
};
static_assert(sizeof(vfio_bitmap) == 24 && offsetof(vfio_bitmap, size) == 8 &&
              offsetof(vfio_bitmap, data) == 16);

// Argument of VFIO_IOMMU_UNMAP_DMA. Tail: a vfio_bitmap with GET_DIRTY_BITMAP, from byte 24.
struct vfio_iommu_type1_dma_unmap {
    std::uint32_t argsz;
    std::uint32_t flags;  // VFIO_DMA_UNMAP_FLAG_*
    std::uint64_t iova;
    std::uint64_t size;  // written back: the bytes that were unmapped
};
static_assert(sizeof(vfio_iommu_type1_dma_unmap) == 24 &&
              offsetof(vfio_iommu_type1_dma_unmap, flags) == 4 &&
              offsetof(vfio_iommu_type1_dma_unmap, iova) == 8 &&
              offsetof(vfio_iommu_type1_dma_unmap, size) == 16);

inline constexpr std::uint32_t VFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP = 1U << 0;
inline constexpr std::uint32_t VFIO_DMA_UNMAP_FLAG_ALL = 1U << 1;
inline constexpr std::uint32_t VFIO_DMA_UNMAP_FLAG_VADDR = 1U << 2;

inline constexpr Request VFIO_IOMMU_UNMAP_DMA = io(VFIO_TYPE, VFIO_BASE + 14);
inline constexpr Request VFIO_IOMMU_ENABLE = io(VFIO_TYPE, VFIO_BASE + 15);  // sPAPR version 1
inline constexpr Request VFIO_IOMMU_DISABLE = io(VFIO_TYPE, VFIO_BASE + 16);

// Argument of VFIO_IOMMU_DIRTY_PAGES. Tail: a vfio_iommu_type1_dirty_bitmap_get, from byte 8.
struct vfio_iommu_type1_dirty_bitmap {
    std::uint32_t argsz;
    std::uint32_t flags;  // one VFIO_IOMMU_DIRTY_PAGES_FLAG_*
};
static_assert(sizeof(vfio_iommu_type1_dirty_bitmap) == 8 &&
              offsetof(vfio_iommu_type1_dirty_bitmap, flags) == 4);

inline constexpr std::uint32_t VFIO_IOMMU_DIRTY_PAGES_FLAG_START = 1U << 0;
inline constexpr std::uint32_t VFIO_IOMMU_DIRTY_PAGES_FLAG_STOP = 1U << 1;
inline constexpr std::uint32_t VFIO_IOMMU_DIRTY_PAGES_FLAG_GET_BITMAP = 1U << 2;

struct vfio_iommu_type1_dirty_bitmap_get {
    std::uint64_t iova;
    std::uint64_t size;
    vfio_bitmap bitmap;
};
static_assert(sizeof(vfio_iommu_type1_dirty_bitmap_get) == 40 &&
              offsetof(vfio_iommu_type1_dirty_bitmap_get, size) == 8 &&
              offsetof(vfio_iommu_type1_dirty_bitmap_get, bitmap) == 16);

inline constexpr Request VFIO_IOMMU_DIRTY_PAGES = io(VFIO_TYPE, VFIO_BASE + 17);

// ---- sPAPR: TCE windows

// The dynamic windows that the platform supports.
struct vfio_iommu_spapr_tce_ddw_info {
    std::uint64_t pgsizes;
    std::uint32_t max_dynamic_windows_supported;
    std::uint32_t levels;
};
static_assert(sizeof(vfio_iommu_spapr_tce_ddw_info) == 16 &&
              offsetof(vfio_iommu_spapr_tce_ddw_info, max_dynamic_windows_supported) == 8 &&
              offsetof(vfio_iommu_spapr_tce_ddw_info, levels) == 12);

// Argument of VFIO_IOMMU_SPAPR_TCE_GET_INFO; 16 bytes are the least.
struct vfio_iommu_spapr_tce_info {
    std::uint32_t argsz;
    std::uint32_t flags;  // VFIO_IOMMU_SPAPR_INFO_DDW: ddw is filled in
    std::uint32_t dma32_window_start;
    std::uint32_t dma32_window_size;
    vfio_iommu_spapr_tce_ddw_info ddw;
};
static_assert(sizeof(vfio_iommu_spapr_tce_info) == 32 &&
              offsetof(vfio_iommu_spapr_tce_info, flags) == 4 &&
              offsetof(vfio_iommu_spapr_tce_info, dma32_window_start) == 8 &&
              offsetof(vfio_iommu_spapr_tce_info, dma32_window_size) == 12 &&
              offsetof(vfio_iommu_spapr_tce_info, ddw) == 16);

inline constexpr std::uint32_t VFIO_IOMMU_SPAPR_INFO_DDW = 1U << 0;

inline constexpr Request VFIO_IOMMU_SPAPR_TCE_GET_INFO = io(VFIO_TYPE, VFIO_BASE + 12);

// Argument of VFIO_IOMMU_SPAPR_REGISTER_MEMORY and its counterpart.
struct vfio_iommu_spapr_register_memory {
    std::uint32_t argsz;
    std::uint32_t flags;
    std::uint64_t vaddr;
    std::uint64_t size;
};
static_assert(sizeof(vfio_iommu_spapr_register_memory) == 24 &&
              offsetof(vfio_iommu_spapr_register_memory, flags) == 4 &&
              offsetof(vfio_iommu_spapr_register_memory, vaddr) == 8 &&
              offsetof(vfio_iommu_spapr_register_memory, size) == 16);

inline constexpr Request VFIO_IOMMU_SPAPR_REGISTER_MEMORY = io(VFIO_TYPE, VFIO_BASE + 17);
inline constexpr Request VFIO_IOMMU_SPAPR_UNREGISTER_MEMORY = io(VFIO_TYPE, VFIO_BASE + 18);

// Argument of VFIO_IOMMU_SPAPR_TCE_CREATE; start_addr is written back.
struct vfio_iommu_spapr_tce_create {
    std::uint32_t argsz;
    std::uint32_t flags;
    std::uint32_t page_shift;
    std::uint32_t __resv1;
    std::uint64_t window_size;
    std::uint32_t levels;
    std::uint32_t __resv2;
    std::uint64_t start_addr;
};
static_assert(sizeof(vfio_iommu_spapr_tce_create) == 40 &&
              offsetof(vfio_iommu_spapr_tce_create, flags) == 4 &&
              offsetof(vfio_iommu_spapr_tce_create, page_shift) == 8 &&
              offsetof(vfio_iommu_spapr_tce_create, __resv1) == 12 &&
              offsetof(vfio_iommu_spapr_tce_create, window_size) == 16 &&
              offsetof(vfio_iommu_spapr_tce_create, levels) == 24 &&
              offsetof(vfio_iommu_spapr_tce_create, __resv2) == 28 &&
              offsetof(vfio_iommu_spapr_tce_create, start_addr) == 32);

inline constexpr Request VFIO_IOMMU_SPAPR_TCE_CREATE = io(VFIO_TYPE, VFIO_BASE + 19);

struct vfio_iommu_spapr_tce_remove {
    std::uint32_t argsz;
    std::uint32_t flags;
    std::uint64_t start_addr;
};
static_assert(sizeof(vfio_iommu_spapr_tce_remove) == 16 &&
              offsetof(vfio_iommu_spapr_tce_remove, flags) == 4 &&
              offsetof(vfio_iommu_spapr_tce_remove, start_addr) == 8);

inline constexpr Request VFIO_IOMMU_SPAPR_TCE_REMOVE = io(VFIO_TYPE, VFIO_BASE + 20);

// ---- EEH: errors of a partitionable endpoint

// The error that VFIO_EEH_PE_INJECT_ERR injects.
struct vfio_eeh_pe_err {
    std::uint32_t type;
    std::uint32_t func;
    std::uint64_t addr;
    std::uint64_t mask;
};
static_assert(sizeof(vfio_eeh_pe_err) == 24 && offsetof(vfio_eeh_pe_err, func) == 4 &&
              offsetof(vfio_eeh_pe_err, addr) == 8 && offsetof(vfio_eeh_pe_err, mask) == 16);

// Argument of VFIO_EEH_PE_OP.
struct vfio_eeh_pe_op {
    std::uint32_t argsz;
    std::uint32_t flags;
    std::uint32_t op;  // VFIO_EEH_PE_*
    union {
        vfio_eeh_pe_err err;
    };
};
static_assert(sizeof(vfio_eeh_pe_op) == 40 && offsetof(vfio_eeh_pe_op, flags) == 4 &&
              offsetof(vfio_eeh_pe_op, op) == 8 && offsetof(vfio_eeh_pe_op, err) == 16);

inline constexpr std::uint32_t VFIO_EEH_PE_DISABLE = 0;
inline constexpr std::uint32_t VFIO_EEH_PE_ENABLE = 1;
inline constexpr std::uint32_t VFIO_EEH_PE_UNFREEZE_IO = 2;
inline constexpr std::uint32_t VFIO_EEH_PE_UNFREEZE_DMA = 3;
inline constexpr std::uint32_t VFIO_EEH_PE_GET_STATE = 4;
inline constexpr std::uint32_t VFIO_EEH_PE_RESET_DEACTIVATE = 5;
inline constexpr std::uint32_t VFIO_EEH_PE_RESET_HOT = 6;
inline constexpr std::uint32_t VFIO_EEH_PE_RESET_FUNDAMENTAL = 7;
inline constexpr std::uint32_t VFIO_EEH_PE_CONFIGURE = 8;
inline constexpr std::uint32_t VFIO_EEH_PE_INJECT_ERR = 9;

// What VFIO_EEH_PE_GET_STATE returns.
inline constexpr std::uint32_t VFIO_EEH_PE_STATE_NORMAL = 0;
inline constexpr std::uint32_t VFIO_EEH_PE_STATE_RESET = 1;
inline constexpr std::uint32_t VFIO_EEH_PE_STATE_STOPPED = 2;
inline constexpr std::uint32_t VFIO_EEH_PE_STATE_STOPPED_DMA = 4;
inline constexpr std::uint32_t VFIO_EEH_PE_STATE_UNAVAIL = 5;

inline constexpr Request VFIO_EEH_PE_OP = io(VFIO_TYPE, VFIO_BASE + 21);

}  // namespace kvmiommu::uapi
