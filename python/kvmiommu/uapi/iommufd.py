# ruff: noqa: N801 - structures keep the names that the kernel gives them
"""iommufd of Linux 6.12: ``/dev/iommu``.

The names of ``<linux/iommufd.h>``. Structures begin with ``size``, which the caller sets::

    command = iommu_ioas_alloc(size=ctypes.sizeof(iommu_ioas_alloc))
    fcntl.ioctl(iommu, IOMMU_IOAS_ALLOC, command)
    command.out_ioas_id
"""

import ctypes
from typing import Annotated

from ._show import Choice, Flags
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
IOMMUFD_CMD_IOAS_MAP_FILE = 0x8F
IOMMUFD_CMD_VIOMMU_ALLOC = 0x90
IOMMUFD_CMD_VDEVICE_ALLOC = 0x91
IOMMUFD_CMD_IOAS_CHANGE_PROCESS = 0x92
IOMMUFD_CMD_VEVENTQ_ALLOC = 0x93
IOMMUFD_CMD_HW_QUEUE_ALLOC = 0x94


class iommu_destroy(Struct):
    _fields_ = (
        ("size", ctypes.c_uint32),
        ("id", ctypes.c_uint32),
    )

    size: int
    id: int


IOMMU_DESTROY = io(IOMMUFD_TYPE, IOMMUFD_CMD_DESTROY, iommu_destroy)

# ---- Address spaces (IOAS)


class iommu_ioas_alloc(Struct):
    _fields_ = (
        ("size", ctypes.c_uint32),
        ("flags", ctypes.c_uint32),
        ("out_ioas_id", ctypes.c_uint32),
    )

    size: int
    flags: int
    out_ioas_id: int


IOMMU_IOAS_ALLOC = io(IOMMUFD_TYPE, IOMMUFD_CMD_IOAS_ALLOC, iommu_ioas_alloc)


class iommu_iova_range(Struct):
    """Both ends are included."""

    _fields_ = (
        ("start", ctypes.c_uint64),
        ("last", ctypes.c_uint64),
    )

    start: int
    last: int


class iommu_ioas_iova_ranges(Struct):
    _fields_ = (
        ("size", ctypes.c_uint32),
        ("ioas_id", ctypes.c_uint32),
        ("num_iovas", ctypes.c_uint32),  # room given, number answered
        ("__reserved", ctypes.c_uint32),
        ("allowed_iovas", ctypes.c_uint64),  # address of iommu_iova_range[num_iovas]
        ("out_iova_alignment", ctypes.c_uint64),
    )

    size: int
    ioas_id: int
    num_iovas: int
    allowed_iovas: int
    out_iova_alignment: int


IOMMU_IOAS_IOVA_RANGES = io(IOMMUFD_TYPE, IOMMUFD_CMD_IOAS_IOVA_RANGES, iommu_ioas_iova_ranges)


class iommu_ioas_allow_iovas(Struct):
    _fields_ = (
        ("size", ctypes.c_uint32),
        ("ioas_id", ctypes.c_uint32),
        ("num_iovas", ctypes.c_uint32),
        ("__reserved", ctypes.c_uint32),
        ("allowed_iovas", ctypes.c_uint64),  # address of iommu_iova_range[num_iovas]
    )

    size: int
    ioas_id: int
    num_iovas: int
    allowed_iovas: int


IOMMU_IOAS_ALLOW_IOVAS = io(IOMMUFD_TYPE, IOMMUFD_CMD_IOAS_ALLOW_IOVAS, iommu_ioas_allow_iovas)

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

    size: int
    flags: Annotated[int, Flags("IOMMU_IOAS_MAP_*")]
    ioas_id: int
    user_va: int
    length: int
    iova: int


IOMMU_IOAS_MAP = io(IOMMUFD_TYPE, IOMMUFD_CMD_IOAS_MAP, iommu_ioas_map)


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

    size: int
    flags: Annotated[int, Flags("IOMMU_IOAS_MAP_*")]
    dst_ioas_id: int
    src_ioas_id: int
    length: int
    dst_iova: int
    src_iova: int


IOMMU_IOAS_COPY = io(IOMMUFD_TYPE, IOMMUFD_CMD_IOAS_COPY, iommu_ioas_copy)


class iommu_ioas_unmap(Struct):
    """iova 0 with length 2^64 - 1 means everything."""

    _fields_ = (
        ("size", ctypes.c_uint32),
        ("ioas_id", ctypes.c_uint32),
        ("iova", ctypes.c_uint64),
        ("length", ctypes.c_uint64),  # answers the bytes that were unmapped
    )

    size: int
    ioas_id: int
    iova: int
    length: int


IOMMU_IOAS_UNMAP = io(IOMMUFD_TYPE, IOMMUFD_CMD_IOAS_UNMAP, iommu_ioas_unmap)

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

    size: int
    option_id: int
    op: int
    object_id: int
    val64: int


IOMMU_OPTION = io(IOMMUFD_TYPE, IOMMUFD_CMD_OPTION, iommu_option)

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

    size: int
    ioas_id: int
    op: int


IOMMU_VFIO_IOAS = io(IOMMUFD_TYPE, IOMMUFD_CMD_VFIO_IOAS, iommu_vfio_ioas)

# ---- Hardware page tables (HWPT)

IOMMU_HWPT_ALLOC_NEST_PARENT = 1 << 0
IOMMU_HWPT_ALLOC_DIRTY_TRACKING = 1 << 1
IOMMU_HWPT_FAULT_ID_VALID = 1 << 2
IOMMU_HWPT_ALLOC_PASID = 1 << 3  # since 7.2

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

    flags: Annotated[int, Flags("IOMMU_VTD_S1_*")]
    pgtbl_addr: int
    addr_width: int


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

    size: int
    flags: int
    dev_id: int
    pt_id: int
    out_hwpt_id: int
    data_type: Annotated[int, Choice("IOMMU_HWPT_DATA_*")]
    data_len: int
    data_uptr: int
    fault_id: int


IOMMU_HWPT_ALLOC = io(IOMMUFD_TYPE, IOMMUFD_CMD_HWPT_ALLOC, iommu_hwpt_alloc)

IOMMU_HW_INFO_VTD_ERRATA_772415_SPR17 = 1 << 0


class iommu_hw_info_vtd(Struct):
    """What IOMMU_GET_HW_INFO tells of VT-d: the two capability registers."""

    _fields_ = (
        ("flags", ctypes.c_uint32),
        ("__reserved", ctypes.c_uint32),
        ("cap_reg", ctypes.c_uint64),
        ("ecap_reg", ctypes.c_uint64),
    )

    flags: int
    cap_reg: int
    ecap_reg: int


IOMMU_HW_INFO_TYPE_NONE = 0
IOMMU_HW_INFO_TYPE_DEFAULT = 0  # since 7.2, as all but VT-d's
IOMMU_HW_INFO_TYPE_INTEL_VTD = 1
IOMMU_HW_INFO_TYPE_ARM_SMMUV3 = 2
IOMMU_HW_INFO_TYPE_TEGRA241_CMDQV = 3
IOMMU_HW_INFO_TYPE_AMD = 4

IOMMU_HW_INFO_FLAG_INPUT_TYPE = 1 << 0

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

    size: int
    flags: int
    dev_id: int
    data_len: int
    data_uptr: int
    out_data_type: Annotated[int, Choice("IOMMU_HW_INFO_TYPE_*")]
    out_max_pasid_log2: int
    out_capabilities: Annotated[int, Flags("IOMMU_HW_CAP_*")]


IOMMU_GET_HW_INFO = io(IOMMUFD_TYPE, IOMMUFD_CMD_GET_HW_INFO, iommu_hw_info)

# ---- Dirty pages

IOMMU_HWPT_DIRTY_TRACKING_ENABLE = 1


class iommu_hwpt_set_dirty_tracking(Struct):
    _fields_ = (
        ("size", ctypes.c_uint32),
        ("flags", ctypes.c_uint32),
        ("hwpt_id", ctypes.c_uint32),
        ("__reserved", ctypes.c_uint32),
    )

    size: int
    flags: int
    hwpt_id: int


IOMMU_HWPT_SET_DIRTY_TRACKING = io(
    IOMMUFD_TYPE, IOMMUFD_CMD_HWPT_SET_DIRTY_TRACKING, iommu_hwpt_set_dirty_tracking
)

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

    size: int
    hwpt_id: int
    flags: int
    iova: int
    length: int
    page_size: int
    data: int


IOMMU_HWPT_GET_DIRTY_BITMAP = io(
    IOMMUFD_TYPE, IOMMUFD_CMD_HWPT_GET_DIRTY_BITMAP, iommu_hwpt_get_dirty_bitmap
)

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

    addr: int
    npages: int
    flags: Annotated[int, Flags("IOMMU_VTD_INV_FLAGS_LEAF")]


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

    size: int
    hwpt_id: int
    data_uptr: int
    data_type: int
    entry_len: int
    entry_num: int


IOMMU_HWPT_INVALIDATE = io(IOMMUFD_TYPE, IOMMUFD_CMD_HWPT_INVALIDATE, iommu_hwpt_invalidate)

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

    flags: Annotated[int, Flags("IOMMU_PGFAULT_FLAGS_*")]
    dev_id: int
    pasid: int
    grpid: int
    perm: Annotated[int, Flags("IOMMU_PGFAULT_PERM_*")]
    addr: int
    length: int
    cookie: int


IOMMUFD_PAGE_RESP_SUCCESS = 0
IOMMUFD_PAGE_RESP_INVALID = 1


class iommu_hwpt_page_response(Struct):
    """One record of write() on a fault queue."""

    _fields_ = (
        ("cookie", ctypes.c_uint32),
        ("code", ctypes.c_uint32),  # IOMMUFD_PAGE_RESP_*
    )

    cookie: int
    code: Annotated[int, Choice("IOMMUFD_PAGE_RESP_*")]


class iommu_fault_alloc(Struct):
    _fields_ = (
        ("size", ctypes.c_uint32),
        ("flags", ctypes.c_uint32),
        ("out_fault_id", ctypes.c_uint32),
        ("out_fault_fd", ctypes.c_uint32),
    )

    size: int
    flags: int
    out_fault_id: int
    out_fault_fd: int


IOMMU_FAULT_QUEUE_ALLOC = io(IOMMUFD_TYPE, IOMMUFD_CMD_FAULT_QUEUE_ALLOC, iommu_fault_alloc)

# ---- Since 7.2


class iommu_ioas_map_file(Struct):
    """Maps a range of a file: a memfd or another file of shared memory, or a dma-buf."""

    _fields_ = (
        ("size", ctypes.c_uint32),
        ("flags", ctypes.c_uint32),  # IOMMU_IOAS_MAP_*
        ("ioas_id", ctypes.c_uint32),
        ("fd", ctypes.c_int32),
        ("start", ctypes.c_uint64),
        ("length", ctypes.c_uint64),
        ("iova", ctypes.c_uint64),
    )

    size: int
    flags: Annotated[int, Flags("IOMMU_IOAS_MAP_*")]
    ioas_id: int
    fd: int
    start: int
    length: int
    iova: int


IOMMU_IOAS_MAP_FILE = io(IOMMUFD_TYPE, IOMMUFD_CMD_IOAS_MAP_FILE, iommu_ioas_map_file)

IOMMU_VIOMMU_TYPE_DEFAULT = 0
IOMMU_VIOMMU_TYPE_ARM_SMMUV3 = 1
IOMMU_VIOMMU_TYPE_TEGRA241_CMDQV = 2


class iommu_viommu_alloc(Struct):
    """A guest's IOMMU above a table that tables can be nested in.

    24 bytes are the least, through out_viommu_id.
    """

    _fields_ = (
        ("size", ctypes.c_uint32),
        ("flags", ctypes.c_uint32),
        ("type", ctypes.c_uint32),  # IOMMU_VIOMMU_TYPE_*
        ("dev_id", ctypes.c_uint32),
        ("hwpt_id", ctypes.c_uint32),
        ("out_viommu_id", ctypes.c_uint32),
        ("data_len", ctypes.c_uint32),
        ("__reserved", ctypes.c_uint32),
        ("data_uptr", ctypes.c_uint64),
    )

    size: int
    flags: int
    type: Annotated[int, Choice("IOMMU_VIOMMU_TYPE_*")]
    dev_id: int
    hwpt_id: int
    out_viommu_id: int
    data_len: int
    data_uptr: int


IOMMU_VIOMMU_ALLOC = io(IOMMUFD_TYPE, IOMMUFD_CMD_VIOMMU_ALLOC, iommu_viommu_alloc)


class iommu_vdevice_alloc(Struct):
    """A device under the number that a guest's IOMMU knows it by."""

    _fields_ = (
        ("size", ctypes.c_uint32),
        ("viommu_id", ctypes.c_uint32),
        ("dev_id", ctypes.c_uint32),
        ("out_vdevice_id", ctypes.c_uint32),
        ("virt_id", ctypes.c_uint64),
    )

    size: int
    viommu_id: int
    dev_id: int
    out_vdevice_id: int
    virt_id: int


IOMMU_VDEVICE_ALLOC = io(IOMMUFD_TYPE, IOMMUFD_CMD_VDEVICE_ALLOC, iommu_vdevice_alloc)


class iommu_ioas_change_process(Struct):
    """Moves the charge of every address space of a descriptor to the caller."""

    _fields_ = (
        ("size", ctypes.c_uint32),
        ("__reserved", ctypes.c_uint32),
    )

    size: int


IOMMU_IOAS_CHANGE_PROCESS = io(
    IOMMUFD_TYPE, IOMMUFD_CMD_IOAS_CHANGE_PROCESS, iommu_ioas_change_process
)

IOMMU_VEVENTQ_TYPE_DEFAULT = 0
IOMMU_VEVENTQ_TYPE_ARM_SMMUV3 = 1
IOMMU_VEVENTQ_TYPE_TEGRA241_CMDQV = 2


class iommu_veventq_alloc(Struct):
    """A queue of events for a guest's IOMMU.

    28 bytes are the least, through out_veventq_fd.
    """

    _fields_ = (
        ("size", ctypes.c_uint32),
        ("flags", ctypes.c_uint32),
        ("viommu_id", ctypes.c_uint32),
        ("type", ctypes.c_uint32),  # IOMMU_VEVENTQ_TYPE_*
        ("veventq_depth", ctypes.c_uint32),
        ("out_veventq_id", ctypes.c_uint32),
        ("out_veventq_fd", ctypes.c_uint32),
        ("__reserved", ctypes.c_uint32),
    )

    size: int
    flags: int
    viommu_id: int
    type: Annotated[int, Choice("IOMMU_VEVENTQ_TYPE_*")]
    veventq_depth: int
    out_veventq_id: int
    out_veventq_fd: int


IOMMU_VEVENTQ_ALLOC = io(IOMMUFD_TYPE, IOMMUFD_CMD_VEVENTQ_ALLOC, iommu_veventq_alloc)

IOMMU_HW_QUEUE_TYPE_DEFAULT = 0
IOMMU_HW_QUEUE_TYPE_TEGRA241_CMDQV = 1


class iommu_hw_queue_alloc(Struct):
    """A queue of commands that a guest's IOMMU reads from the guest's memory."""

    _fields_ = (
        ("size", ctypes.c_uint32),
        ("flags", ctypes.c_uint32),
        ("viommu_id", ctypes.c_uint32),
        ("type", ctypes.c_uint32),  # IOMMU_HW_QUEUE_TYPE_*
        ("index", ctypes.c_uint32),
        ("out_hw_queue_id", ctypes.c_uint32),
        ("nesting_parent_iova", ctypes.c_uint64),
        ("length", ctypes.c_uint64),
    )

    size: int
    flags: int
    viommu_id: int
    type: Annotated[int, Choice("IOMMU_HW_QUEUE_TYPE_*")]
    index: int
    out_hw_queue_id: int
    nesting_parent_iova: int
    length: int


IOMMU_HW_QUEUE_ALLOC = io(IOMMUFD_TYPE, IOMMUFD_CMD_HW_QUEUE_ALLOC, iommu_hw_queue_alloc)


__all__ = [name for name in globals() if name.startswith(("IOMMU", "iommu_"))]
