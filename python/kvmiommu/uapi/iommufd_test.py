# ruff: noqa: N801 - structures keep the names that the kernel gives them
"""The command that drives iommufd's mock devices (a kernel built with CONFIG_IOMMUFD_TEST).

One structure serves every operation; ``op`` says which member counts::

    command = iommu_test_cmd(size=ctypes.sizeof(iommu_test_cmd))
    command.op = IOMMU_TEST_OP_MOCK_DOMAIN
    command.id = ioas
    fcntl.ioctl(iommu, IOMMU_TEST_CMD, command)
    command.mock_domain.out_hwpt_id
"""

import ctypes
from typing import Annotated

from ._show import Choice, Flags
from ._struct import Struct, Union
from .ioctl import io
from .iommufd import IOMMUFD_CMD_BASE, IOMMUFD_TYPE

# ---- The command of iommufd's mock driver

# One request with one struct; op says which member of the union counts. The struct is 72 bytes for
# every op.

IOMMU_TEST_CMD = io(IOMMUFD_TYPE, IOMMUFD_CMD_BASE + 0x20)

IOMMU_TEST_OP_ADD_RESERVED = 1
IOMMU_TEST_OP_MOCK_DOMAIN = 2
IOMMU_TEST_OP_MD_CHECK_MAP = 3
IOMMU_TEST_OP_MD_CHECK_REFS = 4
IOMMU_TEST_OP_CREATE_ACCESS = 5
IOMMU_TEST_OP_DESTROY_ACCESS_PAGES = 6
IOMMU_TEST_OP_ACCESS_PAGES = 7
IOMMU_TEST_OP_ACCESS_RW = 8
IOMMU_TEST_OP_SET_TEMP_MEMORY_LIMIT = 9
IOMMU_TEST_OP_MOCK_DOMAIN_REPLACE = 10
IOMMU_TEST_OP_ACCESS_REPLACE_IOAS = 11
IOMMU_TEST_OP_MOCK_DOMAIN_FLAGS = 12
IOMMU_TEST_OP_DIRTY = 13
IOMMU_TEST_OP_MD_CHECK_IOTLB = 14
IOMMU_TEST_OP_TRIGGER_IOPF = 15
# Since 7.2:
IOMMU_TEST_OP_DEV_CHECK_CACHE = 16
IOMMU_TEST_OP_TRIGGER_VEVENT = 17
IOMMU_TEST_OP_PASID_ATTACH = 18
IOMMU_TEST_OP_PASID_REPLACE = 19
IOMMU_TEST_OP_PASID_DETACH = 20
IOMMU_TEST_OP_PASID_CHECK_HWPT = 21
IOMMU_TEST_OP_DMABUF_GET = 22
IOMMU_TEST_OP_DMABUF_REVOKE = 23


class _IommuTestCmdAddReserved(Struct):
    _fields_ = (
        ("start", ctypes.c_uint64),
        ("length", ctypes.c_uint64),
    )

    start: int
    length: int


class _IommuTestCmdMockDomain(Struct):
    _fields_ = (
        ("out_stdev_id", ctypes.c_uint32),
        ("out_hwpt_id", ctypes.c_uint32),
        ("out_idev_id", ctypes.c_uint32),
    )

    out_stdev_id: int
    out_hwpt_id: int
    out_idev_id: int


class _IommuTestCmdMockDomainFlags(Struct):
    _fields_ = (
        ("out_stdev_id", ctypes.c_uint32),
        ("out_hwpt_id", ctypes.c_uint32),
        ("out_idev_id", ctypes.c_uint32),
        ("dev_flags", ctypes.c_uint32),  # MOCK_FLAGS_DEVICE_*
    )

    out_stdev_id: int
    out_hwpt_id: int
    out_idev_id: int
    dev_flags: Annotated[int, Flags("MOCK_FLAGS_DEVICE_*")]


class _IommuTestCmdMockDomainReplace(Struct):
    _fields_ = (("pt_id", ctypes.c_uint32),)

    pt_id: int


class _IommuTestCmdCheckMap(Struct):
    _fields_ = (
        ("iova", ctypes.c_uint64),
        ("length", ctypes.c_uint64),
        ("uptr", ctypes.c_uint64),
    )

    iova: int
    length: int
    uptr: int


class _IommuTestCmdCheckRefs(Struct):
    _fields_ = (
        ("length", ctypes.c_uint64),
        ("uptr", ctypes.c_uint64),
        ("refs", ctypes.c_uint32),
    )

    length: int
    uptr: int
    refs: int


class _IommuTestCmdCreateAccess(Struct):
    _fields_ = (
        ("out_access_fd", ctypes.c_uint32),
        ("flags", ctypes.c_uint32),  # MOCK_FLAGS_ACCESS_CREATE_NEEDS_PIN_PAGES
    )

    out_access_fd: int
    flags: Annotated[int, Flags("MOCK_FLAGS_ACCESS_CREATE_NEEDS_PIN_PAGES")]


class _IommuTestCmdDestroyAccessPages(Struct):
    _fields_ = (("access_pages_id", ctypes.c_uint32),)

    access_pages_id: int


class _IommuTestCmdAccessPages(Struct):
    _fields_ = (
        ("flags", ctypes.c_uint32),  # MOCK_FLAGS_ACCESS_WRITE, MOCK_FLAGS_ACCESS_SYZ
        ("out_access_pages_id", ctypes.c_uint32),
        ("iova", ctypes.c_uint64),
        ("length", ctypes.c_uint64),
        ("uptr", ctypes.c_uint64),
    )

    flags: Annotated[int, Flags("MOCK_FLAGS_ACCESS_WRITE", "MOCK_FLAGS_ACCESS_SYZ")]
    out_access_pages_id: int
    iova: int
    length: int
    uptr: int


class _IommuTestCmdAccessRw(Struct):
    _fields_ = (
        ("iova", ctypes.c_uint64),
        ("length", ctypes.c_uint64),
        ("uptr", ctypes.c_uint64),
        ("flags", ctypes.c_uint32),  # MOCK_ACCESS_RW_*
    )

    iova: int
    length: int
    uptr: int
    flags: Annotated[int, Flags("MOCK_ACCESS_RW_*")]


class _IommuTestCmdMemoryLimit(Struct):
    _fields_ = (("limit", ctypes.c_uint32),)

    limit: int


class _IommuTestCmdAccessReplaceIoas(Struct):
    _fields_ = (("ioas_id", ctypes.c_uint32),)

    ioas_id: int


class _IommuTestCmdDirty(Struct):
    _fields_ = (
        ("flags", ctypes.c_uint32),
        ("iova", ctypes.c_uint64),
        ("length", ctypes.c_uint64),
        ("page_size", ctypes.c_uint64),
        ("uptr", ctypes.c_uint64),
        ("out_nr_dirty", ctypes.c_uint64),
    )

    flags: int
    iova: int
    length: int
    page_size: int
    uptr: int
    out_nr_dirty: int


class _IommuTestCmdCheckIotlb(Struct):
    _fields_ = (
        ("id", ctypes.c_uint32),
        ("iotlb", ctypes.c_uint32),
    )

    id: int
    iotlb: int


class _IommuTestCmdTriggerIopf(Struct):
    _fields_ = (
        ("dev_id", ctypes.c_uint32),
        ("pasid", ctypes.c_uint32),
        ("grpid", ctypes.c_uint32),
        ("perm", ctypes.c_uint32),
        ("addr", ctypes.c_uint64),
    )

    dev_id: int
    pasid: int
    grpid: int
    perm: int
    addr: int


class _IommuTestCmdUnion(Union):
    _fields_ = (
        ("add_reserved", _IommuTestCmdAddReserved),
        ("mock_domain", _IommuTestCmdMockDomain),
        ("mock_domain_flags", _IommuTestCmdMockDomainFlags),
        ("mock_domain_replace", _IommuTestCmdMockDomainReplace),
        ("check_map", _IommuTestCmdCheckMap),
        ("check_refs", _IommuTestCmdCheckRefs),
        ("create_access", _IommuTestCmdCreateAccess),
        ("destroy_access_pages", _IommuTestCmdDestroyAccessPages),
        ("access_pages", _IommuTestCmdAccessPages),
        ("access_rw", _IommuTestCmdAccessRw),
        ("memory_limit", _IommuTestCmdMemoryLimit),
        ("access_replace_ioas", _IommuTestCmdAccessReplaceIoas),
        ("dirty", _IommuTestCmdDirty),
        ("check_iotlb", _IommuTestCmdCheckIotlb),
        ("trigger_iopf", _IommuTestCmdTriggerIopf),
    )

    add_reserved: _IommuTestCmdAddReserved
    mock_domain: _IommuTestCmdMockDomain
    mock_domain_flags: _IommuTestCmdMockDomainFlags
    mock_domain_replace: _IommuTestCmdMockDomainReplace
    check_map: _IommuTestCmdCheckMap
    check_refs: _IommuTestCmdCheckRefs
    create_access: _IommuTestCmdCreateAccess
    destroy_access_pages: _IommuTestCmdDestroyAccessPages
    access_pages: _IommuTestCmdAccessPages
    access_rw: _IommuTestCmdAccessRw
    memory_limit: _IommuTestCmdMemoryLimit
    access_replace_ioas: _IommuTestCmdAccessReplaceIoas
    dirty: _IommuTestCmdDirty
    check_iotlb: _IommuTestCmdCheckIotlb
    trigger_iopf: _IommuTestCmdTriggerIopf


class iommu_test_cmd(Struct):
    """Argument of IOMMU_TEST_CMD.

    `id` is an IOAS, a page table, a mock device or the descriptor of an access, as op has it.
    """

    _anonymous_ = ("_union",)
    _fields_ = (
        ("size", ctypes.c_uint32),
        ("op", ctypes.c_uint32),  # IOMMU_TEST_OP_*
        ("id", ctypes.c_uint32),
        ("__reserved", ctypes.c_uint32),
        ("_union", _IommuTestCmdUnion),
        ("last", ctypes.c_uint32),
    )

    size: int
    op: Annotated[int, Choice("IOMMU_TEST_OP_*")]
    id: int
    add_reserved: _IommuTestCmdAddReserved
    mock_domain: _IommuTestCmdMockDomain
    mock_domain_flags: _IommuTestCmdMockDomainFlags
    mock_domain_replace: _IommuTestCmdMockDomainReplace
    check_map: _IommuTestCmdCheckMap
    check_refs: _IommuTestCmdCheckRefs
    create_access: _IommuTestCmdCreateAccess
    destroy_access_pages: _IommuTestCmdDestroyAccessPages
    access_pages: _IommuTestCmdAccessPages
    access_rw: _IommuTestCmdAccessRw
    memory_limit: _IommuTestCmdMemoryLimit
    access_replace_ioas: _IommuTestCmdAccessReplaceIoas
    dirty: _IommuTestCmdDirty
    check_iotlb: _IommuTestCmdCheckIotlb
    trigger_iopf: _IommuTestCmdTriggerIopf
    last: int


# ---- Flags

MOCK_FLAGS_ACCESS_CREATE_NEEDS_PIN_PAGES = 1 << 0

MOCK_FLAGS_ACCESS_WRITE = 1 << 0
MOCK_FLAGS_ACCESS_SYZ = 1 << 16

MOCK_ACCESS_RW_WRITE = 1 << 0
MOCK_ACCESS_RW_SLOW_PATH = 1 << 2

MOCK_FLAGS_DEVICE_NO_DIRTY = 1 << 0
MOCK_FLAGS_DEVICE_HUGE_IOVA = 1 << 1
MOCK_FLAGS_DEVICE_PASID = 1 << 2  # since 7.2

# ---- The mock device and its tables

MOCK_APERTURE_START = 1 << 24
MOCK_APERTURE_LAST = (1 << 31) - 1
IOMMU_HW_INFO_TYPE_SELFTEST = 0xFEEDBEEF
IOMMU_HW_INFO_SELFTEST_REGVAL = 0xDEADBEEF


class iommu_test_hw_info(Struct):
    """What IOMMU_GET_HW_INFO tells of a mock device."""

    _fields_ = (
        ("flags", ctypes.c_uint32),
        ("test_reg", ctypes.c_uint32),  # IOMMU_HW_INFO_SELFTEST_REGVAL
    )

    flags: int
    test_reg: int


IOMMU_HWPT_DATA_SELFTEST = 0xDEAD
IOMMU_TEST_IOTLB_DEFAULT = 0xBADBEEF
MOCK_NESTED_DOMAIN_IOTLB_ID_MAX = 3
MOCK_NESTED_DOMAIN_IOTLB_NUM = 4


class iommu_hwpt_selftest(Struct):
    """A nested mock table; iotlb is what each of its entries holds at first."""

    _fields_ = (("iotlb", ctypes.c_uint32),)

    iotlb: int


IOMMU_HWPT_INVALIDATE_DATA_SELFTEST = 0xDEADBEEF
IOMMU_HWPT_INVALIDATE_DATA_SELFTEST_INVALID = 0xDADBEEF

IOMMU_TEST_INVALIDATE_FLAG_ALL = 1 << 0


class iommu_hwpt_invalidate_selftest(Struct):
    _fields_ = (
        ("flags", ctypes.c_uint32),  # IOMMU_TEST_INVALIDATE_FLAG_ALL
        ("iotlb_id", ctypes.c_uint32),
    )

    flags: Annotated[int, Flags("IOMMU_TEST_INVALIDATE_FLAG_ALL")]
    iotlb_id: int


# ---- Since 7.2

IOMMU_TEST_PASID_RESERVED = 1024
MOCK_PASID_WIDTH = 20
IOMMU_TEST_DEV_CACHE_DEFAULT = 0xBADDAD
MOCK_DEV_CACHE_ID_MAX = 3
MOCK_DEV_CACHE_NUM = 4
IOMMU_VIOMMU_TYPE_SELFTEST = 0xDEADBEEF
IOMMU_VIOMMU_INVALIDATE_DATA_SELFTEST = 0xDEADBEEF
IOMMU_VIOMMU_INVALIDATE_DATA_SELFTEST_INVALID = 0xDADBEEF
IOMMU_VEVENTQ_TYPE_SELFTEST = 0xBEEFBEEF
IOMMU_HW_QUEUE_TYPE_SELFTEST = 0xDEADBEEF


__all__ = [name for name in globals() if name.startswith(("IOMMU_", "MOCK_", "iommu_"))]
