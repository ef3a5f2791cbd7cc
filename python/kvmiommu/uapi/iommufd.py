# ruff: noqa: N801 - structures keep the names that the kernel gives them
"""iommufd of Linux 6.12: ``/dev/iommu``.

The names of ``<linux/iommufd.h>``. Structures begin with ``size``, which the caller sets::

    command = iommu_ioas_alloc(size=ctypes.sizeof(iommu_ioas_alloc))
    fcntl.ioctl(iommu, IOMMU_IOAS_ALLOC, command)
    command.out_ioas_id
"""

import ctypes

from ._struct import Struct, array
from .ioctl import io

# ---- Commands

# Every request is _IO(';', 0x80 + n). Every struct begins with size: the bytes that the caller
# gives. Less than the first version of the struct is refused; what is missing counts as zero; what
# is beyond the known struct must be zero.

IOMMUFD_TYPE = 0x3B  # ';', which VFIO shares
IOMMUFD_CMD_BASE = 0x80
IOMMUFD_CMD_DESTROY = IOMMUFD_CMD_BASE
IOMMUFD_CMD_IOAS_ALLOC = 0x81
IOMMUFD_CMD_IOAS_ALLOW_IOVAS = 0x82
IOMMUFD_CMD_IOAS_COPY = 0x83
IOMMUFD_CMD_IOAS_IOVA_RANGES = 0x84
IOMMUFD_CMD_IOAS_MAP = 0x85
IOMMUFD_CMD_IOAS_UNMAP = 0x86
IOMMUFD_CMD_OPTION = 0x87
IOMMUFD_CMD_VFIO_IOAS = 0x88
IOMMUFD_CMD_HWPT_ALLOC = 0x89
IOMMUFD_CMD_GET_HW_INFO = 0x8A
IOMMUFD_CMD_HWPT_SET_DIRTY_TRACKING = 0x8B
IOMMUFD_CMD_HWPT_GET_DIRTY_BITMAP = 0x8C
IOMMUFD_CMD_HWPT_INVALIDATE = 0x8D
IOMMUFD_CMD_FAULT_QUEUE_ALLOC = 0x8E


class iommu_destroy(Struct):
    _fields_ = (
        ("size", ctypes.c_uint32),
        ("id", ctypes.c_uint32),
    )


IOMMU_DESTROY = io(IOMMUFD_TYPE, IOMMUFD_CMD_DESTROY)

# ---- Address spaces (IOAS)


class iommu_ioas_alloc(Struct):
    _fields_ = (
        ("size", ctypes.c_uint32),
        ("flags", ctypes.c_uint32),
        ("out_ioas_id", ctypes.c_uint32),
    )


IOMMU_IOAS_ALLOC = io(IOMMUFD_TYPE, IOMMUFD_CMD_IOAS_ALLOC)


class iommu_iova_range(Struct):
    """Both ends are included."""

    _fields_ = (
        ("start", ctypes.c_uint64),
        ("last", ctypes.c_uint64),
    )


class iommu_ioas_iova_ranges(Struct):
    _fields_ = (
        ("size", ctypes.c_uint32),
        ("ioas_id", ctypes.c_uint32),
        ("num_iovas", ctypes.c_uint32),  # room given, number answered
        ("__reserved", ctypes.c_uint32),
        ("allowed_iovas", ctypes.c_uint64),  # address of iommu_iova_range[num_iovas]
        ("out_iova_alignment", ctypes.c_uint64),
    )


IOMMU_IOAS_IOVA_RANGES = io(IOMMUFD_TYPE, IOMMUFD_CMD_IOAS_IOVA_RANGES)


class iommu_ioas_allow_iovas(Struct):
    _fields_ = (
        ("size", ctypes.c_uint32),
        ("ioas_id", ctypes.c_uint32),
        ("num_iovas", ctypes.c_uint32),
        ("__reserved", ctypes.c_uint32),
        ("allowed_iovas", ctypes.c_uint64),  # address of iommu_iova_range[num_iovas]
    )


IOMMU_IOAS_ALLOW_IOVAS = io(IOMMUFD_TYPE, IOMMUFD_CMD_IOAS_ALLOW_IOVAS)

IOMMU_IOAS_MAP_FIXED_IOVA = 1 << 0  # the caller chooses iova; otherwise it is answered
IOMMU_IOAS_MAP_WRITEABLE = 1 << 1
IOMMU_IOAS_MAP_READABLE = 1 << 2


class iommu_ioas_map(Struct):
    _fields_ = (
        ("size", ctypes.c_uint32),
        ("flags", ctypes.c_uint32),  # IOMMU_IOAS_MAP_*
        ("ioas_id", ctypes.c_uint32),
        ("__reserved", ctypes.c_uint32),
        ("user_va", ctypes.c_uint64),
        ("length", ctypes.c_uint64),
        ("iova", ctypes.c_uint64),
    )


IOMMU_IOAS_MAP = io(IOMMUFD_TYPE, IOMMUFD_CMD_IOAS_MAP)


class iommu_ioas_copy(Struct):
    _fields_ = (
        ("size", ctypes.c_uint32),
        ("flags", ctypes.c_uint32),  # IOMMU_IOAS_MAP_*
        ("dst_ioas_id", ctypes.c_uint32),
        ("src_ioas_id", ctypes.c_uint32),
        ("length", ctypes.c_uint64),
        ("dst_iova", ctypes.c_uint64),
        ("src_iova", ctypes.c_uint64),
    )


IOMMU_IOAS_COPY = io(IOMMUFD_TYPE, IOMMUFD_CMD_IOAS_COPY)


class iommu_ioas_unmap(Struct):
    """iova 0 with length 2^64 - 1 means everything."""

    _fields_ = (
        ("size", ctypes.c_uint32),
        ("ioas_id", ctypes.c_uint32),
        ("iova", ctypes.c_uint64),
        ("length", ctypes.c_uint64),  # answers the bytes that were unmapped
    )


IOMMU_IOAS_UNMAP = io(IOMMUFD_TYPE, IOMMUFD_CMD_IOAS_UNMAP)

# ---- Options

IOMMU_OPTION_RLIMIT_MODE = 0  # whose locked memory counts: 0 the user's, 1 the process's
IOMMU_OPTION_HUGE_PAGES = 1  # of one IOAS

IOMMU_OPTION_OP_SET = 0
IOMMU_OPTION_OP_GET = 1


class iommu_option(Struct):
    _fields_ = (
        ("size", ctypes.c_uint32),
        ("option_id", ctypes.c_uint32),
        ("op", ctypes.c_uint16),
        ("__reserved", ctypes.c_uint16),
        ("object_id", ctypes.c_uint32),
        ("val64", ctypes.c_uint64),
    )


IOMMU_OPTION = io(IOMMUFD_TYPE, IOMMUFD_CMD_OPTION)

# ---- The IOAS that old VFIO calls use

IOMMU_VFIO_IOAS_GET = 0
IOMMU_VFIO_IOAS_SET = 1
IOMMU_VFIO_IOAS_CLEAR = 2


class iommu_vfio_ioas(Struct):
    _fields_ = (
        ("size", ctypes.c_uint32),
        ("ioas_id", ctypes.c_uint32),
        ("op", ctypes.c_uint16),
        ("__reserved", ctypes.c_uint16),
    )


IOMMU_VFIO_IOAS = io(IOMMUFD_TYPE, IOMMUFD_CMD_VFIO_IOAS)

# ---- Hardware page tables (HWPT)

IOMMU_HWPT_ALLOC_NEST_PARENT = 1 << 0
IOMMU_HWPT_ALLOC_DIRTY_TRACKING = 1 << 1
IOMMU_HWPT_FAULT_ID_VALID = 1 << 2

IOMMU_VTD_S1_SRE = 1 << 0
IOMMU_VTD_S1_EAFE = 1 << 1
IOMMU_VTD_S1_WPE = 1 << 2


class iommu_hwpt_vtd_s1(Struct):
    """A guest's first-level table, for IOMMU_HWPT_DATA_VTD_S1."""

    _fields_ = (
        ("flags", ctypes.c_uint64),  # IOMMU_VTD_S1_*
        ("pgtbl_addr", ctypes.c_uint64),
        ("addr_width", ctypes.c_uint32),
        ("__reserved", ctypes.c_uint32),
    )


IOMMU_HWPT_DATA_NONE = 0
IOMMU_HWPT_DATA_VTD_S1 = 1


class iommu_hwpt_alloc(Struct):
    """24 bytes are the least, through __reserved."""

    _fields_ = (
        ("size", ctypes.c_uint32),
        ("flags", ctypes.c_uint32),
        ("dev_id", ctypes.c_uint32),
        ("pt_id", ctypes.c_uint32),  # an IOAS, or the parent of a nested table
        ("out_hwpt_id", ctypes.c_uint32),
        ("__reserved", ctypes.c_uint32),
        ("data_type", ctypes.c_uint32),  # IOMMU_HWPT_DATA_*
        ("data_len", ctypes.c_uint32),
        ("data_uptr", ctypes.c_uint64),
        ("fault_id", ctypes.c_uint32),
        ("__reserved2", ctypes.c_uint32),
    )


IOMMU_HWPT_ALLOC = io(IOMMUFD_TYPE, IOMMUFD_CMD_HWPT_ALLOC)

IOMMU_HW_INFO_VTD_ERRATA_772415_SPR17 = 1 << 0


class iommu_hw_info_vtd(Struct):
    """What IOMMU_GET_HW_INFO tells of VT-d: the two capability registers."""

    _fields_ = (
        ("flags", ctypes.c_uint32),
        ("__reserved", ctypes.c_uint32),
        ("cap_reg", ctypes.c_uint64),
        ("ecap_reg", ctypes.c_uint64),
    )


IOMMU_HW_INFO_TYPE_NONE = 0
IOMMU_HW_INFO_TYPE_INTEL_VTD = 1

IOMMU_HW_CAP_DIRTY_TRACKING = 1 << 0
IOMMU_HW_CAP_PCI_PASID_EXEC = 1 << 1
IOMMU_HW_CAP_PCI_PASID_PRIV = 1 << 2


class iommu_hw_info(Struct):
    _fields_ = (
        ("size", ctypes.c_uint32),
        ("flags", ctypes.c_uint32),
        ("dev_id", ctypes.c_uint32),
        ("data_len", ctypes.c_uint32),
        ("data_uptr", ctypes.c_uint64),
        ("out_data_type", ctypes.c_uint32),  # IOMMU_HW_INFO_TYPE_*
        ("out_max_pasid_log2", ctypes.c_uint8),
        ("__reserved", array(ctypes.c_uint8, 3)),
        ("out_capabilities", ctypes.c_uint64),  # IOMMU_HW_CAP_*
    )


IOMMU_GET_HW_INFO = io(IOMMUFD_TYPE, IOMMUFD_CMD_GET_HW_INFO)

# ---- Dirty pages

IOMMU_HWPT_DIRTY_TRACKING_ENABLE = 1


class iommu_hwpt_set_dirty_tracking(Struct):
    _fields_ = (
        ("size", ctypes.c_uint32),
        ("flags", ctypes.c_uint32),
        ("hwpt_id", ctypes.c_uint32),
        ("__reserved", ctypes.c_uint32),
    )


IOMMU_HWPT_SET_DIRTY_TRACKING = io(IOMMUFD_TYPE, IOMMUFD_CMD_HWPT_SET_DIRTY_TRACKING)

IOMMU_HWPT_GET_DIRTY_BITMAP_NO_CLEAR = 1  # leave the marks in the hardware's table


class iommu_hwpt_get_dirty_bitmap(Struct):
    _fields_ = (
        ("size", ctypes.c_uint32),
        ("hwpt_id", ctypes.c_uint32),
        ("flags", ctypes.c_uint32),
        ("__reserved", ctypes.c_uint32),
        ("iova", ctypes.c_uint64),
        ("length", ctypes.c_uint64),
        ("page_size", ctypes.c_uint64),
        ("data", ctypes.c_uint64),  # address of the bitmap; bits are only ever added to it
    )


IOMMU_HWPT_GET_DIRTY_BITMAP = io(IOMMUFD_TYPE, IOMMUFD_CMD_HWPT_GET_DIRTY_BITMAP)

# ---- Invalidation of nested tables

IOMMU_HWPT_INVALIDATE_DATA_VTD_S1 = 0
IOMMU_VTD_INV_FLAGS_LEAF = 1 << 0


class iommu_hwpt_vtd_s1_invalidate(Struct):
    _fields_ = (
        ("addr", ctypes.c_uint64),
        ("npages", ctypes.c_uint64),
        ("flags", ctypes.c_uint32),  # IOMMU_VTD_INV_FLAGS_LEAF
        ("__reserved", ctypes.c_uint32),
    )


class iommu_hwpt_invalidate(Struct):
    _fields_ = (
        ("size", ctypes.c_uint32),
        ("hwpt_id", ctypes.c_uint32),
        ("data_uptr", ctypes.c_uint64),
        ("data_type", ctypes.c_uint32),
        ("entry_len", ctypes.c_uint32),
        ("entry_num", ctypes.c_uint32),  # entries given, entries handled
        ("__reserved", ctypes.c_uint32),
    )


IOMMU_HWPT_INVALIDATE = io(IOMMUFD_TYPE, IOMMUFD_CMD_HWPT_INVALIDATE)

# ---- Page faults

IOMMU_PGFAULT_FLAGS_PASID_VALID = 1 << 0
IOMMU_PGFAULT_FLAGS_LAST_PAGE = 1 << 1

IOMMU_PGFAULT_PERM_READ = 1 << 0
IOMMU_PGFAULT_PERM_WRITE = 1 << 1
IOMMU_PGFAULT_PERM_EXEC = 1 << 2
IOMMU_PGFAULT_PERM_PRIV = 1 << 3


class iommu_hwpt_pgfault(Struct):
    """One record of read() on a fault queue."""

    _fields_ = (
        ("flags", ctypes.c_uint32),  # IOMMU_PGFAULT_FLAGS_*
        ("dev_id", ctypes.c_uint32),
        ("pasid", ctypes.c_uint32),
        ("grpid", ctypes.c_uint32),
        ("perm", ctypes.c_uint32),  # IOMMU_PGFAULT_PERM_*
        ("__reserved", ctypes.c_uint32),
        ("addr", ctypes.c_uint64),
        ("length", ctypes.c_uint32),
        ("cookie", ctypes.c_uint32),
    )


IOMMUFD_PAGE_RESP_SUCCESS = 0
IOMMUFD_PAGE_RESP_INVALID = 1


class iommu_hwpt_page_response(Struct):
    """One record of write() on a fault queue."""

    _fields_ = (
        ("cookie", ctypes.c_uint32),
        ("code", ctypes.c_uint32),  # IOMMUFD_PAGE_RESP_*
    )


class iommu_fault_alloc(Struct):
    _fields_ = (
        ("size", ctypes.c_uint32),
        ("flags", ctypes.c_uint32),
        ("out_fault_id", ctypes.c_uint32),
        ("out_fault_fd", ctypes.c_uint32),
    )


IOMMU_FAULT_QUEUE_ALLOC = io(IOMMUFD_TYPE, IOMMUFD_CMD_FAULT_QUEUE_ALLOC)


__all__ = [name for name in globals() if name.startswith(("IOMMU", "iommu_"))]
