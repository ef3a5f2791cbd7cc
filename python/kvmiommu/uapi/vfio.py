# ruff: noqa: N801 - structures keep the names that the kernel gives them
"""VFIO of Linux 6.12: containers, groups, devices, type 1, sPAPR and EEH.

The names of ``<linux/vfio.h>``: numbers, requests (`Request`) and ctypes structures. Structures
begin with ``argsz``, which the caller sets to the length of the whole argument, tail included::

    info = vfio_iommu_type1_info(argsz=ctypes.sizeof(vfio_iommu_type1_info))
    fcntl.ioctl(container, VFIO_IOMMU_GET_INFO, info)

A structure that ends in an array of open length stops before it: append the array's bytes.
"""

import ctypes
from typing import Annotated

from ._show import Choice, Flags
from ._struct import Struct, Union
from .ioctl import io

# ---- Requests and answers

# Every request is _IO(';', 100 + n): it has neither direction nor size. A struct tells its own
# length in argsz, the first field; the kernel copies the part it needs and refuses less. The same
# n means different things on a container, a group and a device.

VFIO_API_VERSION = 0
VFIO_TYPE = 0x3B  # ';', which iommufd shares
VFIO_BASE = 100


class vfio_info_cap_header(Struct):
    """Begins each entry of a chain of capabilities.

    `next` counts from the start of the answer, 0 ends.
    """

    _fields_ = (
        ("id", ctypes.c_uint16),
        ("version", ctypes.c_uint16),
        ("next", ctypes.c_uint32),
    )

    id: int
    version: int
    next: int


# ---- Container: /dev/vfio/vfio

# IOMMU drivers and abilities: the argument of VFIO_CHECK_EXTENSION and VFIO_SET_IOMMU.

VFIO_TYPE1_IOMMU = 1
VFIO_SPAPR_TCE_IOMMU = 2
VFIO_TYPE1v2_IOMMU = 3
VFIO_DMA_CC_IOMMU = 4  # every domain enforces cache coherency
VFIO_EEH = 5
VFIO_TYPE1_NESTING_IOMMU = 6
VFIO_SPAPR_TCE_v2_IOMMU = 7
VFIO_NOIOMMU_IOMMU = 8
VFIO_UNMAP_ALL = 9
VFIO_UPDATE_VADDR = 10

VFIO_GET_API_VERSION = io(VFIO_TYPE, VFIO_BASE + 0)
VFIO_CHECK_EXTENSION = io(VFIO_TYPE, VFIO_BASE + 1)
VFIO_SET_IOMMU = io(VFIO_TYPE, VFIO_BASE + 2)

# ---- Group: /dev/vfio/N


class vfio_group_status(Struct):
    """Argument of VFIO_GROUP_GET_STATUS."""

    _fields_ = (
        ("argsz", ctypes.c_uint32),
        ("flags", ctypes.c_uint32),  # VFIO_GROUP_FLAGS_*
    )

    argsz: int
    flags: Annotated[int, Flags("VFIO_GROUP_FLAGS_*")]


VFIO_GROUP_FLAGS_VIABLE = 1 << 0  # no device of the group has a driver that VFIO cannot live with
VFIO_GROUP_FLAGS_CONTAINER_SET = 1 << 1

VFIO_GROUP_GET_STATUS = io(VFIO_TYPE, VFIO_BASE + 3, vfio_group_status)
VFIO_GROUP_SET_CONTAINER = io(
    VFIO_TYPE, VFIO_BASE + 4, ctypes.c_int32
)  # an int *: a container, or an iommufd
VFIO_GROUP_UNSET_CONTAINER = io(VFIO_TYPE, VFIO_BASE + 5)
# A char *: the device's name; returns the descriptor.
VFIO_GROUP_GET_DEVICE_FD = io(VFIO_TYPE, VFIO_BASE + 6, ctypes.c_char)

# ---- Device


class vfio_device_info(Struct):
    """Argument of VFIO_DEVICE_GET_INFO; 16 bytes are the least, through num_irqs."""

    _fields_ = (
        ("argsz", ctypes.c_uint32),
        ("flags", ctypes.c_uint32),  # VFIO_DEVICE_FLAGS_*
        ("num_regions", ctypes.c_uint32),
        ("num_irqs", ctypes.c_uint32),
        ("cap_offset", ctypes.c_uint32),
        ("pad", ctypes.c_uint32),
    )

    argsz: int
    flags: Annotated[int, Flags("VFIO_DEVICE_FLAGS_*")]
    num_regions: int
    num_irqs: int
    cap_offset: int
    pad: int


VFIO_DEVICE_FLAGS_RESET = 1 << 0
VFIO_DEVICE_FLAGS_PCI = 1 << 1
VFIO_DEVICE_FLAGS_PLATFORM = 1 << 2
VFIO_DEVICE_FLAGS_AMBA = 1 << 3
VFIO_DEVICE_FLAGS_CCW = 1 << 4
VFIO_DEVICE_FLAGS_AP = 1 << 5
VFIO_DEVICE_FLAGS_FSL_MC = 1 << 6
VFIO_DEVICE_FLAGS_CAPS = 1 << 7
VFIO_DEVICE_FLAGS_CDX = 1 << 8

VFIO_DEVICE_GET_INFO = io(VFIO_TYPE, VFIO_BASE + 7, vfio_device_info)

# How sysfs names a mediated device's kind (device_api).
VFIO_DEVICE_API_PCI_STRING = "vfio-pci"
VFIO_DEVICE_API_PLATFORM_STRING = "vfio-platform"
VFIO_DEVICE_API_AMBA_STRING = "vfio-amba"
VFIO_DEVICE_API_CCW_STRING = "vfio-ccw"
VFIO_DEVICE_API_AP_STRING = "vfio-ap"

# Capabilities of a device. The ZPCI structs of s390 have a header of their own and are not here.
VFIO_DEVICE_INFO_CAP_ZPCI_BASE = 1
VFIO_DEVICE_INFO_CAP_ZPCI_GROUP = 2
VFIO_DEVICE_INFO_CAP_ZPCI_UTIL = 3
VFIO_DEVICE_INFO_CAP_ZPCI_PFIP = 4
VFIO_DEVICE_INFO_CAP_PCI_ATOMIC_COMP = 5


class vfio_device_info_cap_pci_atomic_comp(Struct):
    """Which PCIe atomic operations the root port completes."""

    _fields_ = (
        ("header", vfio_info_cap_header),
        ("flags", ctypes.c_uint32),  # VFIO_PCI_ATOMIC_COMP*
        ("reserved", ctypes.c_uint32),
    )

    header: vfio_info_cap_header
    flags: Annotated[int, Flags("VFIO_PCI_ATOMIC_COMP*")]
    reserved: int


VFIO_PCI_ATOMIC_COMP32 = 1 << 0
VFIO_PCI_ATOMIC_COMP64 = 1 << 1
VFIO_PCI_ATOMIC_COMP128 = 1 << 2

# ---- Regions


class vfio_region_info(Struct):
    """Argument of VFIO_DEVICE_GET_REGION_INFO.

    Offset is where the region lies in the device's file.
    """

    _fields_ = (
        ("argsz", ctypes.c_uint32),
        ("flags", ctypes.c_uint32),  # VFIO_REGION_INFO_FLAG_*
        ("index", ctypes.c_uint32),
        ("cap_offset", ctypes.c_uint32),
        ("size", ctypes.c_uint64),
        ("offset", ctypes.c_uint64),
    )

    argsz: int
    flags: Annotated[int, Flags("VFIO_REGION_INFO_FLAG_*")]
    index: int
    cap_offset: int
    size: int
    offset: int


VFIO_REGION_INFO_FLAG_READ = 1 << 0
VFIO_REGION_INFO_FLAG_WRITE = 1 << 1
VFIO_REGION_INFO_FLAG_MMAP = 1 << 2
VFIO_REGION_INFO_FLAG_CAPS = 1 << 3

VFIO_DEVICE_GET_REGION_INFO = io(VFIO_TYPE, VFIO_BASE + 8, vfio_region_info)

# Capabilities of a region.
VFIO_REGION_INFO_CAP_SPARSE_MMAP = 1
VFIO_REGION_INFO_CAP_TYPE = 2
VFIO_REGION_INFO_CAP_MSIX_MAPPABLE = 3  # header alone: the MSI-X table may be mapped too
VFIO_REGION_INFO_CAP_NVLINK2_SSATGT = 4
VFIO_REGION_INFO_CAP_NVLINK2_LNKSPD = 5


class vfio_region_sparse_mmap_area(Struct):
    """A part of a region that may be mapped."""

    _fields_ = (
        ("offset", ctypes.c_uint64),
        ("size", ctypes.c_uint64),
    )

    offset: int
    size: int


class vfio_region_info_cap_sparse_mmap(Struct):
    """Tail: nr_areas times vfio_region_sparse_mmap_area."""

    _fields_ = (
        ("header", vfio_info_cap_header),
        ("nr_areas", ctypes.c_uint32),
        ("reserved", ctypes.c_uint32),
    )

    header: vfio_info_cap_header
    nr_areas: int
    reserved: int


class vfio_region_info_cap_type(Struct):
    """Says what a region beyond the fixed indexes holds."""

    _fields_ = (
        ("header", vfio_info_cap_header),
        ("type", ctypes.c_uint32),  # VFIO_REGION_TYPE_*
        ("subtype", ctypes.c_uint32),  # VFIO_REGION_SUBTYPE_*, meaningful within the type
    )

    header: vfio_info_cap_header
    type: Annotated[int, Choice("VFIO_REGION_TYPE_*")]
    subtype: int


VFIO_REGION_TYPE_PCI_VENDOR_TYPE = 1 << 31  # the low 16 bits are then a PCI vendor
VFIO_REGION_TYPE_PCI_VENDOR_MASK = 0xFFFF

VFIO_REGION_TYPE_GFX = 1
VFIO_REGION_TYPE_CCW = 2
VFIO_REGION_TYPE_MIGRATION_DEPRECATED = 3

VFIO_REGION_SUBTYPE_INTEL_IGD_OPREGION = 1
VFIO_REGION_SUBTYPE_INTEL_IGD_HOST_CFG = 2
VFIO_REGION_SUBTYPE_INTEL_IGD_LPC_CFG = 3

VFIO_REGION_SUBTYPE_NVIDIA_NVLINK2_RAM = 1

VFIO_REGION_SUBTYPE_IBM_NVLINK2_ATSD = 1

VFIO_REGION_SUBTYPE_GFX_EDID = 1

VFIO_REGION_SUBTYPE_CCW_ASYNC_CMD = 1
VFIO_REGION_SUBTYPE_CCW_SCHIB = 2
VFIO_REGION_SUBTYPE_CCW_CRW = 3

VFIO_REGION_SUBTYPE_MIGRATION_DEPRECATED = 1


class vfio_region_gfx_edid(Struct):
    """The control words at the start of an EDID region."""

    _fields_ = (
        ("edid_offset", ctypes.c_uint32),
        ("edid_max_size", ctypes.c_uint32),
        ("edid_size", ctypes.c_uint32),
        ("max_xres", ctypes.c_uint32),
        ("max_yres", ctypes.c_uint32),
        ("link_state", ctypes.c_uint32),  # VFIO_DEVICE_GFX_LINK_STATE_*
    )

    edid_offset: int
    edid_max_size: int
    edid_size: int
    max_xres: int
    max_yres: int
    link_state: Annotated[int, Choice("VFIO_DEVICE_GFX_LINK_STATE_*")]


VFIO_DEVICE_GFX_LINK_STATE_UP = 1
VFIO_DEVICE_GFX_LINK_STATE_DOWN = 2


class vfio_device_migration_info(Struct):
    """The migration region of the first protocol, which the feature replaced."""

    _fields_ = (
        ("device_state", ctypes.c_uint32),  # VFIO_DEVICE_STATE_V1_*
        ("reserved", ctypes.c_uint32),
        ("pending_bytes", ctypes.c_uint64),
        ("data_offset", ctypes.c_uint64),
        ("data_size", ctypes.c_uint64),
    )

    device_state: Annotated[int, Flags("VFIO_DEVICE_STATE_V1_*")]
    reserved: int
    pending_bytes: int
    data_offset: int
    data_size: int


VFIO_DEVICE_STATE_V1_STOP = 0
VFIO_DEVICE_STATE_V1_RUNNING = 1 << 0
VFIO_DEVICE_STATE_V1_SAVING = 1 << 1
VFIO_DEVICE_STATE_V1_RESUMING = 1 << 2
VFIO_DEVICE_STATE_MASK = (
    VFIO_DEVICE_STATE_V1_RUNNING | VFIO_DEVICE_STATE_V1_SAVING | VFIO_DEVICE_STATE_V1_RESUMING
)


class vfio_region_info_cap_nvlink2_ssatgt(Struct):
    """Address at which the GPU's memory appears on its link."""

    _fields_ = (
        ("header", vfio_info_cap_header),
        ("tgt", ctypes.c_uint64),
    )

    header: vfio_info_cap_header
    tgt: int


class vfio_region_info_cap_nvlink2_lnkspd(Struct):
    _fields_ = (
        ("header", vfio_info_cap_header),
        ("link_speed", ctypes.c_uint32),
        ("__pad", ctypes.c_uint32),
    )

    header: vfio_info_cap_header
    link_speed: int


# ---- Interrupts


class vfio_irq_info(Struct):
    """Argument of VFIO_DEVICE_GET_IRQ_INFO."""

    _fields_ = (
        ("argsz", ctypes.c_uint32),
        ("flags", ctypes.c_uint32),  # VFIO_IRQ_INFO_*
        ("index", ctypes.c_uint32),
        ("count", ctypes.c_uint32),
    )

    argsz: int
    flags: Annotated[int, Flags("VFIO_IRQ_INFO_*")]
    index: int
    count: int


VFIO_IRQ_INFO_EVENTFD = 1 << 0
VFIO_IRQ_INFO_MASKABLE = 1 << 1
VFIO_IRQ_INFO_AUTOMASKED = 1 << 2
VFIO_IRQ_INFO_NORESIZE = 1 << 3

VFIO_DEVICE_GET_IRQ_INFO = io(VFIO_TYPE, VFIO_BASE + 9, vfio_irq_info)


class vfio_irq_set(Struct):
    """Argument of VFIO_DEVICE_SET_IRQS.

    Tail: count times u8 (BOOL) or s32 (EVENTFD), from byte 20.
    """

    _fields_ = (
        ("argsz", ctypes.c_uint32),
        ("flags", ctypes.c_uint32),  # one VFIO_IRQ_SET_DATA_* and one VFIO_IRQ_SET_ACTION_*
        ("index", ctypes.c_uint32),
        ("start", ctypes.c_uint32),
        ("count", ctypes.c_uint32),
    )

    argsz: int
    flags: Annotated[int, Flags("VFIO_IRQ_SET_DATA_*", "VFIO_IRQ_SET_ACTION_*")]
    index: int
    start: int
    count: int


VFIO_IRQ_SET_DATA_NONE = 1 << 0
VFIO_IRQ_SET_DATA_BOOL = 1 << 1
VFIO_IRQ_SET_DATA_EVENTFD = 1 << 2
VFIO_IRQ_SET_ACTION_MASK = 1 << 3
VFIO_IRQ_SET_ACTION_UNMASK = 1 << 4
VFIO_IRQ_SET_ACTION_TRIGGER = 1 << 5
VFIO_IRQ_SET_DATA_TYPE_MASK = (
    VFIO_IRQ_SET_DATA_NONE | VFIO_IRQ_SET_DATA_BOOL | VFIO_IRQ_SET_DATA_EVENTFD
)
VFIO_IRQ_SET_ACTION_TYPE_MASK = (
    VFIO_IRQ_SET_ACTION_MASK | VFIO_IRQ_SET_ACTION_UNMASK | VFIO_IRQ_SET_ACTION_TRIGGER
)

VFIO_DEVICE_SET_IRQS = io(VFIO_TYPE, VFIO_BASE + 10, vfio_irq_set)
VFIO_DEVICE_RESET = io(VFIO_TYPE, VFIO_BASE + 11)

# ---- Fixed indexes of a bus

VFIO_PCI_BAR0_REGION_INDEX = 0
VFIO_PCI_BAR1_REGION_INDEX = 1
VFIO_PCI_BAR2_REGION_INDEX = 2
VFIO_PCI_BAR3_REGION_INDEX = 3
VFIO_PCI_BAR4_REGION_INDEX = 4
VFIO_PCI_BAR5_REGION_INDEX = 5
VFIO_PCI_ROM_REGION_INDEX = 6
VFIO_PCI_CONFIG_REGION_INDEX = 7
VFIO_PCI_VGA_REGION_INDEX = 8
VFIO_PCI_NUM_REGIONS = 9  # stays 9: what else a device has is found by its region type

VFIO_PCI_INTX_IRQ_INDEX = 0
VFIO_PCI_MSI_IRQ_INDEX = 1
VFIO_PCI_MSIX_IRQ_INDEX = 2
VFIO_PCI_ERR_IRQ_INDEX = 3
VFIO_PCI_REQ_IRQ_INDEX = 4
VFIO_PCI_NUM_IRQS = 5

VFIO_CCW_CONFIG_REGION_INDEX = 0
VFIO_CCW_NUM_REGIONS = 1

VFIO_CCW_IO_IRQ_INDEX = 0
VFIO_CCW_CRW_IRQ_INDEX = 1
VFIO_CCW_REQ_IRQ_INDEX = 2
VFIO_CCW_NUM_IRQS = 3

VFIO_AP_REQ_IRQ_INDEX = 0
VFIO_AP_NUM_IRQS = 1

# ---- PCI hot reset


class _VfioPciDependentDeviceUnion(Union):
    _fields_ = (
        ("group_id", ctypes.c_uint32),
        ("devid", ctypes.c_uint32),  # with VFIO_PCI_HOT_RESET_FLAG_DEV_ID
    )

    group_id: int
    devid: int


class vfio_pci_dependent_device(Struct):
    """A function that a bus reset would hit as well."""

    _anonymous_ = ("_union",)
    _fields_ = (
        ("_union", _VfioPciDependentDeviceUnion),
        ("segment", ctypes.c_uint16),
        ("bus", ctypes.c_uint8),
        ("devfn", ctypes.c_uint8),
    )

    group_id: int
    devid: int
    segment: int
    bus: int
    devfn: int


VFIO_PCI_DEVID_OWNED = 0
VFIO_PCI_DEVID_NOT_OWNED = -1


class vfio_pci_hot_reset_info(Struct):
    """Tail: count times vfio_pci_dependent_device, from byte 12."""

    _fields_ = (
        ("argsz", ctypes.c_uint32),
        ("flags", ctypes.c_uint32),  # VFIO_PCI_HOT_RESET_FLAG_*
        ("count", ctypes.c_uint32),
    )

    argsz: int
    flags: Annotated[int, Flags("VFIO_PCI_HOT_RESET_FLAG_*")]
    count: int


VFIO_PCI_HOT_RESET_FLAG_DEV_ID = 1 << 0
VFIO_PCI_HOT_RESET_FLAG_DEV_ID_OWNED = 1 << 1

VFIO_DEVICE_GET_PCI_HOT_RESET_INFO = io(VFIO_TYPE, VFIO_BASE + 12, vfio_pci_hot_reset_info)


class vfio_pci_hot_reset(Struct):
    """Tail: count group descriptors (s32), from byte 12; none in the iommufd manner."""

    _fields_ = (
        ("argsz", ctypes.c_uint32),
        ("flags", ctypes.c_uint32),
        ("count", ctypes.c_uint32),
    )

    argsz: int
    flags: int
    count: int


VFIO_DEVICE_PCI_HOT_RESET = io(VFIO_TYPE, VFIO_BASE + 13, vfio_pci_hot_reset)

# ---- Graphics plane


class _VfioDeviceGfxPlaneInfoUnion(Union):
    _fields_ = (
        ("region_index", ctypes.c_uint32),
        ("dmabuf_id", ctypes.c_uint32),
    )

    region_index: int
    dmabuf_id: int


class vfio_device_gfx_plane_info(Struct):
    """Argument of VFIO_DEVICE_QUERY_GFX_PLANE."""

    _anonymous_ = ("_union",)
    _fields_ = (
        ("argsz", ctypes.c_uint32),
        ("flags", ctypes.c_uint32),  # VFIO_GFX_PLANE_TYPE_*
        ("drm_plane_type", ctypes.c_uint32),
        ("drm_format", ctypes.c_uint32),
        ("drm_format_mod", ctypes.c_uint64),
        ("width", ctypes.c_uint32),
        ("height", ctypes.c_uint32),
        ("stride", ctypes.c_uint32),
        ("size", ctypes.c_uint32),
        ("x_pos", ctypes.c_uint32),
        ("y_pos", ctypes.c_uint32),
        ("x_hot", ctypes.c_uint32),
        ("y_hot", ctypes.c_uint32),
        ("_union", _VfioDeviceGfxPlaneInfoUnion),
        ("reserved", ctypes.c_uint32),
    )

    argsz: int
    flags: Annotated[int, Flags("VFIO_GFX_PLANE_TYPE_*")]
    drm_plane_type: int
    drm_format: int
    drm_format_mod: int
    width: int
    height: int
    stride: int
    size: int
    x_pos: int
    y_pos: int
    x_hot: int
    y_hot: int
    region_index: int
    dmabuf_id: int
    reserved: int


VFIO_GFX_PLANE_TYPE_PROBE = 1 << 0
VFIO_GFX_PLANE_TYPE_DMABUF = 1 << 1
VFIO_GFX_PLANE_TYPE_REGION = 1 << 2

VFIO_DEVICE_QUERY_GFX_PLANE = io(VFIO_TYPE, VFIO_BASE + 14, vfio_device_gfx_plane_info)
# A u32 *: a dmabuf_id; returns the descriptor.
VFIO_DEVICE_GET_GFX_DMABUF = io(VFIO_TYPE, VFIO_BASE + 15, ctypes.c_uint32)

# ---- Writes by eventfd


class vfio_device_ioeventfd(Struct):
    """Argument of VFIO_DEVICE_IOEVENTFD.

    A signal of fd writes data to the region; fd -1 ends it.
    """

    _fields_ = (
        ("argsz", ctypes.c_uint32),
        ("flags", ctypes.c_uint32),  # one VFIO_DEVICE_IOEVENTFD_*: the width
        ("offset", ctypes.c_uint64),
        ("data", ctypes.c_uint64),
        ("fd", ctypes.c_int32),
        ("reserved", ctypes.c_uint32),
    )

    argsz: int
    flags: Annotated[int, Flags("VFIO_DEVICE_IOEVENTFD_*")]
    offset: int
    data: int
    fd: int
    reserved: int


VFIO_DEVICE_IOEVENTFD_8 = 1 << 0
VFIO_DEVICE_IOEVENTFD_16 = 1 << 1
VFIO_DEVICE_IOEVENTFD_32 = 1 << 2
VFIO_DEVICE_IOEVENTFD_64 = 1 << 3
VFIO_DEVICE_IOEVENTFD_SIZE_MASK = 0xF

VFIO_DEVICE_IOEVENTFD = io(VFIO_TYPE, VFIO_BASE + 16, vfio_device_ioeventfd)

# ---- Features


class vfio_device_feature(Struct):
    """Argument of VFIO_DEVICE_FEATURE. Tail: the feature's own struct, from byte 8."""

    _fields_ = (
        ("argsz", ctypes.c_uint32),
        ("flags", ctypes.c_uint32),  # the feature, and what to do with it
    )

    argsz: int
    flags: Annotated[
        int,
        Flags(
            "VFIO_DEVICE_FEATURE_GET",
            "VFIO_DEVICE_FEATURE_SET",
            "VFIO_DEVICE_FEATURE_PROBE",
            value=Choice("VFIO_DEVICE_FEATURE_*", without="*_MASTER"),
            mask=0xFFFF,
        ),
    ]


VFIO_DEVICE_FEATURE_MASK = 0xFFFF
VFIO_DEVICE_FEATURE_GET = 1 << 16
VFIO_DEVICE_FEATURE_SET = 1 << 17
VFIO_DEVICE_FEATURE_PROBE = 1 << 18  # ask whether GET or SET would do

VFIO_DEVICE_FEATURE = io(VFIO_TYPE, VFIO_BASE + 17, vfio_device_feature)

VFIO_DEVICE_FEATURE_PCI_VF_TOKEN = 0  # 16 bytes: the UUID that virtual functions must name
VFIO_DEVICE_FEATURE_MIGRATION = 1
VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE = 2
VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY = 3
VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY_WITH_WAKEUP = 4
VFIO_DEVICE_FEATURE_LOW_POWER_EXIT = 5
VFIO_DEVICE_FEATURE_DMA_LOGGING_START = 6
VFIO_DEVICE_FEATURE_DMA_LOGGING_STOP = 7
VFIO_DEVICE_FEATURE_DMA_LOGGING_REPORT = 8
VFIO_DEVICE_FEATURE_MIG_DATA_SIZE = 9
VFIO_DEVICE_FEATURE_BUS_MASTER = 10
# Since 7.2:
VFIO_DEVICE_FEATURE_DMA_BUF = 11
VFIO_DEVICE_FEATURE_MIG_PRECOPY_INFOv2 = 12


class vfio_device_feature_migration(Struct):
    """Data of VFIO_DEVICE_FEATURE_MIGRATION: which protocol states exist."""

    _fields_ = (
        ("flags", ctypes.c_uint64),  # VFIO_MIGRATION_*
    )

    flags: Annotated[int, Flags("VFIO_MIGRATION_*")]


VFIO_MIGRATION_STOP_COPY = 1 << 0
VFIO_MIGRATION_P2P = 1 << 1
VFIO_MIGRATION_PRE_COPY = 1 << 2


class vfio_device_feature_mig_state(Struct):
    """Data of VFIO_DEVICE_FEATURE_MIG_DEVICE_STATE."""

    _fields_ = (
        ("device_state", ctypes.c_uint32),  # VFIO_DEVICE_STATE_*
        ("data_fd", ctypes.c_int32),
    )

    device_state: Annotated[int, Choice("VFIO_DEVICE_STATE_*", without="VFIO_DEVICE_STATE_V1_*")]
    data_fd: int


VFIO_DEVICE_STATE_ERROR = 0
VFIO_DEVICE_STATE_STOP = 1
VFIO_DEVICE_STATE_RUNNING = 2
VFIO_DEVICE_STATE_STOP_COPY = 3
VFIO_DEVICE_STATE_RESUMING = 4
VFIO_DEVICE_STATE_RUNNING_P2P = 5
VFIO_DEVICE_STATE_PRE_COPY = 6
VFIO_DEVICE_STATE_PRE_COPY_P2P = 7
VFIO_DEVICE_STATE_NR = 8


class vfio_precopy_info(Struct):
    """Argument of VFIO_MIG_GET_PRECOPY_INFO, on the descriptor that carries the migration data."""

    _fields_ = (
        ("argsz", ctypes.c_uint32),
        ("flags", ctypes.c_uint32),
        ("initial_bytes", ctypes.c_uint64),
        ("dirty_bytes", ctypes.c_uint64),
    )

    argsz: int
    flags: int
    initial_bytes: int
    dirty_bytes: int


VFIO_MIG_GET_PRECOPY_INFO = io(VFIO_TYPE, VFIO_BASE + 21, vfio_precopy_info)


class vfio_device_low_power_entry_with_wakeup(Struct):
    _fields_ = (
        ("wakeup_eventfd", ctypes.c_int32),
        ("reserved", ctypes.c_uint32),
    )

    wakeup_eventfd: int
    reserved: int


class vfio_device_feature_dma_logging_control(Struct):
    """Data of VFIO_DEVICE_FEATURE_DMA_LOGGING_START."""

    _fields_ = (
        ("page_size", ctypes.c_uint64),
        ("num_ranges", ctypes.c_uint32),
        ("__reserved", ctypes.c_uint32),
        ("ranges", ctypes.c_uint64),  # address of vfio_device_feature_dma_logging_range[num_ranges]
    )

    page_size: int
    num_ranges: int
    ranges: int


class vfio_device_feature_dma_logging_range(Struct):
    _fields_ = (
        ("iova", ctypes.c_uint64),
        ("length", ctypes.c_uint64),
    )

    iova: int
    length: int


class vfio_device_feature_dma_logging_report(Struct):
    _fields_ = (
        ("iova", ctypes.c_uint64),
        ("length", ctypes.c_uint64),
        ("page_size", ctypes.c_uint64),
        ("bitmap", ctypes.c_uint64),  # address: one bit a page of page_size, in words of 64 bits
    )

    iova: int
    length: int
    page_size: int
    bitmap: int


class vfio_device_feature_mig_data_size(Struct):
    _fields_ = (("stop_copy_length", ctypes.c_uint64),)

    stop_copy_length: int


class vfio_device_feature_bus_master(Struct):
    _fields_ = (
        ("op", ctypes.c_uint32),  # VFIO_DEVICE_FEATURE_*_MASTER
    )

    op: Annotated[int, Choice("VFIO_DEVICE_FEATURE_*_MASTER")]


VFIO_DEVICE_FEATURE_CLEAR_MASTER = 0
VFIO_DEVICE_FEATURE_SET_MASTER = 1

# ---- Device opened by itself: /dev/vfio/devices/vfioN


class vfio_device_bind_iommufd(Struct):
    """Argument of VFIO_DEVICE_BIND_IOMMUFD."""

    _fields_ = (
        ("argsz", ctypes.c_uint32),
        ("flags", ctypes.c_uint32),
        ("iommufd", ctypes.c_int32),
        ("out_devid", ctypes.c_uint32),
    )

    argsz: int
    flags: int
    iommufd: int
    out_devid: int


VFIO_DEVICE_BIND_IOMMUFD = io(VFIO_TYPE, VFIO_BASE + 18, vfio_device_bind_iommufd)


class vfio_device_attach_iommufd_pt(Struct):
    """Argument of VFIO_DEVICE_ATTACH_IOMMUFD_PT.

    `pt_id` is an IOAS or a page table, and is answered.
    """

    _fields_ = (
        ("argsz", ctypes.c_uint32),
        ("flags", ctypes.c_uint32),
        ("pt_id", ctypes.c_uint32),
    )

    argsz: int
    flags: int
    pt_id: int


VFIO_DEVICE_ATTACH_IOMMUFD_PT = io(VFIO_TYPE, VFIO_BASE + 19, vfio_device_attach_iommufd_pt)


class vfio_device_detach_iommufd_pt(Struct):
    _fields_ = (
        ("argsz", ctypes.c_uint32),
        ("flags", ctypes.c_uint32),
    )

    argsz: int
    flags: int


VFIO_DEVICE_DETACH_IOMMUFD_PT = io(VFIO_TYPE, VFIO_BASE + 20, vfio_device_detach_iommufd_pt)

# ---- Type 1


class vfio_iommu_type1_info(Struct):
    """Argument of VFIO_IOMMU_GET_INFO; 16 bytes are the least, through iova_pgsizes."""

    _fields_ = (
        ("argsz", ctypes.c_uint32),
        ("flags", ctypes.c_uint32),  # VFIO_IOMMU_INFO_*
        ("iova_pgsizes", ctypes.c_uint64),
        ("cap_offset", ctypes.c_uint32),
        ("pad", ctypes.c_uint32),
    )

    argsz: int
    flags: Annotated[int, Flags("VFIO_IOMMU_INFO_*")]
    iova_pgsizes: int
    cap_offset: int
    pad: int


VFIO_IOMMU_INFO_PGSIZES = 1 << 0
VFIO_IOMMU_INFO_CAPS = 1 << 1

VFIO_IOMMU_GET_INFO = io(VFIO_TYPE, VFIO_BASE + 12, vfio_iommu_type1_info)

# Capabilities of a type 1 container.
VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE = 1
VFIO_IOMMU_TYPE1_INFO_CAP_MIGRATION = 2
VFIO_IOMMU_TYPE1_INFO_DMA_AVAIL = 3


class vfio_iova_range(Struct):
    """Both ends are included."""

    _fields_ = (
        ("start", ctypes.c_uint64),
        ("end", ctypes.c_uint64),
    )

    start: int
    end: int


class vfio_iommu_type1_info_cap_iova_range(Struct):
    """Tail: nr_iovas times vfio_iova_range, from byte 16."""

    _fields_ = (
        ("header", vfio_info_cap_header),
        ("nr_iovas", ctypes.c_uint32),
        ("reserved", ctypes.c_uint32),
    )

    header: vfio_info_cap_header
    nr_iovas: int
    reserved: int


class vfio_iommu_type1_info_cap_migration(Struct):
    """Dirty pages can be tracked."""

    _fields_ = (
        ("header", vfio_info_cap_header),
        ("flags", ctypes.c_uint32),
        ("pgsize_bitmap", ctypes.c_uint64),
        ("max_dirty_bitmap_size", ctypes.c_uint64),
    )

    header: vfio_info_cap_header
    flags: int
    pgsize_bitmap: int
    max_dirty_bitmap_size: int


class vfio_iommu_type1_info_dma_avail(Struct):
    """How many more mappings the container takes."""

    _fields_ = (
        ("header", vfio_info_cap_header),
        ("avail", ctypes.c_uint32),
    )

    header: vfio_info_cap_header
    avail: int


class vfio_iommu_type1_dma_map(Struct):
    """Argument of VFIO_IOMMU_MAP_DMA."""

    _fields_ = (
        ("argsz", ctypes.c_uint32),
        ("flags", ctypes.c_uint32),  # VFIO_DMA_MAP_FLAG_*
        ("vaddr", ctypes.c_uint64),
        ("iova", ctypes.c_uint64),
        ("size", ctypes.c_uint64),
    )

    argsz: int
    flags: Annotated[int, Flags("VFIO_DMA_MAP_FLAG_*")]
    vaddr: int
    iova: int
    size: int


VFIO_DMA_MAP_FLAG_READ = 1 << 0  # the device may read
VFIO_DMA_MAP_FLAG_WRITE = 1 << 1
VFIO_DMA_MAP_FLAG_VADDR = 1 << 2  # give a mapping its new user address

VFIO_IOMMU_MAP_DMA = io(VFIO_TYPE, VFIO_BASE + 13, vfio_iommu_type1_dma_map)


class vfio_bitmap(Struct):
    _fields_ = (
        ("pgsize", ctypes.c_uint64),
        ("size", ctypes.c_uint64),  # in bytes
        ("data", ctypes.c_uint64),  # address
    )

    pgsize: int
    size: int
    data: int


class vfio_iommu_type1_dma_unmap(Struct):
    """Argument of VFIO_IOMMU_UNMAP_DMA. Tail: a vfio_bitmap with GET_DIRTY_BITMAP, from byte 24."""

    _fields_ = (
        ("argsz", ctypes.c_uint32),
        ("flags", ctypes.c_uint32),  # VFIO_DMA_UNMAP_FLAG_*
        ("iova", ctypes.c_uint64),
        ("size", ctypes.c_uint64),  # answers the bytes that were unmapped
    )

    argsz: int
    flags: Annotated[int, Flags("VFIO_DMA_UNMAP_FLAG_*")]
    iova: int
    size: int


VFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP = 1 << 0
VFIO_DMA_UNMAP_FLAG_ALL = 1 << 1
VFIO_DMA_UNMAP_FLAG_VADDR = 1 << 2

VFIO_IOMMU_UNMAP_DMA = io(VFIO_TYPE, VFIO_BASE + 14, vfio_iommu_type1_dma_unmap)
VFIO_IOMMU_ENABLE = io(VFIO_TYPE, VFIO_BASE + 15)  # sPAPR version 1
VFIO_IOMMU_DISABLE = io(VFIO_TYPE, VFIO_BASE + 16)


class vfio_iommu_type1_dirty_bitmap(Struct):
    """Argument of VFIO_IOMMU_DIRTY_PAGES.

    Tail: a vfio_iommu_type1_dirty_bitmap_get, from byte 8.
    """

    _fields_ = (
        ("argsz", ctypes.c_uint32),
        ("flags", ctypes.c_uint32),  # one VFIO_IOMMU_DIRTY_PAGES_FLAG_*
    )

    argsz: int
    flags: Annotated[int, Flags("VFIO_IOMMU_DIRTY_PAGES_FLAG_*")]


VFIO_IOMMU_DIRTY_PAGES_FLAG_START = 1 << 0
VFIO_IOMMU_DIRTY_PAGES_FLAG_STOP = 1 << 1
VFIO_IOMMU_DIRTY_PAGES_FLAG_GET_BITMAP = 1 << 2


class vfio_iommu_type1_dirty_bitmap_get(Struct):
    _fields_ = (
        ("iova", ctypes.c_uint64),
        ("size", ctypes.c_uint64),
        ("bitmap", vfio_bitmap),
    )

    iova: int
    size: int
    bitmap: vfio_bitmap


VFIO_IOMMU_DIRTY_PAGES = io(VFIO_TYPE, VFIO_BASE + 17, vfio_iommu_type1_dirty_bitmap)

# ---- sPAPR: TCE windows


class vfio_iommu_spapr_tce_ddw_info(Struct):
    """What dynamic windows the platform offers."""

    _fields_ = (
        ("pgsizes", ctypes.c_uint64),
        ("max_dynamic_windows_supported", ctypes.c_uint32),
        ("levels", ctypes.c_uint32),
    )

    pgsizes: int
    max_dynamic_windows_supported: int
    levels: int


class vfio_iommu_spapr_tce_info(Struct):
    """Argument of VFIO_IOMMU_SPAPR_TCE_GET_INFO; 16 bytes are the least."""

    _fields_ = (
        ("argsz", ctypes.c_uint32),
        ("flags", ctypes.c_uint32),  # VFIO_IOMMU_SPAPR_INFO_DDW: ddw is filled in
        ("dma32_window_start", ctypes.c_uint32),
        ("dma32_window_size", ctypes.c_uint32),
        ("ddw", vfio_iommu_spapr_tce_ddw_info),
    )

    argsz: int
    flags: Annotated[int, Flags("VFIO_IOMMU_SPAPR_INFO_DDW")]
    dma32_window_start: int
    dma32_window_size: int
    ddw: vfio_iommu_spapr_tce_ddw_info


VFIO_IOMMU_SPAPR_INFO_DDW = 1 << 0

VFIO_IOMMU_SPAPR_TCE_GET_INFO = io(VFIO_TYPE, VFIO_BASE + 12, vfio_iommu_spapr_tce_info)


class vfio_iommu_spapr_register_memory(Struct):
    """Argument of VFIO_IOMMU_SPAPR_REGISTER_MEMORY and its counterpart."""

    _fields_ = (
        ("argsz", ctypes.c_uint32),
        ("flags", ctypes.c_uint32),
        ("vaddr", ctypes.c_uint64),
        ("size", ctypes.c_uint64),
    )

    argsz: int
    flags: int
    vaddr: int
    size: int


VFIO_IOMMU_SPAPR_REGISTER_MEMORY = io(VFIO_TYPE, VFIO_BASE + 17, vfio_iommu_spapr_register_memory)
VFIO_IOMMU_SPAPR_UNREGISTER_MEMORY = io(VFIO_TYPE, VFIO_BASE + 18, vfio_iommu_spapr_register_memory)


class vfio_iommu_spapr_tce_create(Struct):
    """Argument of VFIO_IOMMU_SPAPR_TCE_CREATE; start_addr is answered."""

    _fields_ = (
        ("argsz", ctypes.c_uint32),
        ("flags", ctypes.c_uint32),
        ("page_shift", ctypes.c_uint32),
        ("__resv1", ctypes.c_uint32),
        ("window_size", ctypes.c_uint64),
        ("levels", ctypes.c_uint32),
        ("__resv2", ctypes.c_uint32),
        ("start_addr", ctypes.c_uint64),
    )

    argsz: int
    flags: int
    page_shift: int
    window_size: int
    levels: int
    start_addr: int


VFIO_IOMMU_SPAPR_TCE_CREATE = io(VFIO_TYPE, VFIO_BASE + 19, vfio_iommu_spapr_tce_create)


class vfio_iommu_spapr_tce_remove(Struct):
    _fields_ = (
        ("argsz", ctypes.c_uint32),
        ("flags", ctypes.c_uint32),
        ("start_addr", ctypes.c_uint64),
    )

    argsz: int
    flags: int
    start_addr: int


VFIO_IOMMU_SPAPR_TCE_REMOVE = io(VFIO_TYPE, VFIO_BASE + 20, vfio_iommu_spapr_tce_remove)

# ---- EEH: errors of a partitionable endpoint


class vfio_eeh_pe_err(Struct):
    """The error that VFIO_EEH_PE_INJECT_ERR injects."""

    _fields_ = (
        ("type", ctypes.c_uint32),
        ("func", ctypes.c_uint32),
        ("addr", ctypes.c_uint64),
        ("mask", ctypes.c_uint64),
    )

    type: int
    func: int
    addr: int
    mask: int


class _VfioEehPeOpUnion(Union):
    _fields_ = (("err", vfio_eeh_pe_err),)

    err: vfio_eeh_pe_err


class vfio_eeh_pe_op(Struct):
    """Argument of VFIO_EEH_PE_OP."""

    _anonymous_ = ("_union",)
    _fields_ = (
        ("argsz", ctypes.c_uint32),
        ("flags", ctypes.c_uint32),
        ("op", ctypes.c_uint32),  # VFIO_EEH_PE_*
        ("_union", _VfioEehPeOpUnion),
    )

    argsz: int
    flags: int
    op: Annotated[int, Choice("VFIO_EEH_PE_*", without="VFIO_EEH_PE_STATE_*")]
    err: vfio_eeh_pe_err


VFIO_EEH_PE_DISABLE = 0
VFIO_EEH_PE_ENABLE = 1
VFIO_EEH_PE_UNFREEZE_IO = 2
VFIO_EEH_PE_UNFREEZE_DMA = 3
VFIO_EEH_PE_GET_STATE = 4
VFIO_EEH_PE_RESET_DEACTIVATE = 5
VFIO_EEH_PE_RESET_HOT = 6
VFIO_EEH_PE_RESET_FUNDAMENTAL = 7
VFIO_EEH_PE_CONFIGURE = 8
VFIO_EEH_PE_INJECT_ERR = 9

# What VFIO_EEH_PE_GET_STATE returns.
VFIO_EEH_PE_STATE_NORMAL = 0
VFIO_EEH_PE_STATE_RESET = 1
VFIO_EEH_PE_STATE_STOPPED = 2
VFIO_EEH_PE_STATE_STOPPED_DMA = 4
VFIO_EEH_PE_STATE_UNAVAIL = 5

VFIO_EEH_PE_OP = io(VFIO_TYPE, VFIO_BASE + 21, vfio_eeh_pe_op)


__all__ = [name for name in globals() if name.startswith(("VFIO_", "vfio_"))]
