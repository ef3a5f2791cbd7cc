# SPDX-License-Identifier: MIT
"""The part of <linux/vfio.h> that the driver uses."""

from __future__ import annotations

from ctypes import Structure, c_int32, c_uint32, c_uint64, sizeof


def _request(number: int) -> int:
    """_IO(VFIO_TYPE, VFIO_BASE + number)"""
    return ord(";") << 8 | 100 + number


GET_API_VERSION = _request(0)
CHECK_EXTENSION = _request(1)
SET_IOMMU = _request(2)
GROUP_GET_STATUS = _request(3)
GROUP_SET_CONTAINER = _request(4)
GROUP_GET_DEVICE_FD = _request(6)
DEVICE_GET_REGION_INFO = _request(8)
DEVICE_SET_IRQS = _request(10)
IOMMU_MAP_DMA = _request(13)
IOMMU_UNMAP_DMA = _request(14)

API_VERSION = 0
TYPE1v2_IOMMU = 3
GROUP_FLAGS_VIABLE = 1
PCI_CONFIG_REGION_INDEX = 7
PCI_MSI_IRQ_INDEX = 1
IRQ_SET_DATA_EVENTFD_ACTION_TRIGGER = 1 << 2 | 1 << 5
DMA_MAP_FLAG_READ_WRITE = 1 << 0 | 1 << 1


class _WithSize(Structure):
    """A structure that begins with its size."""

    argsz: int

    def __init__(self, **fields: int) -> None:
        super().__init__(argsz=sizeof(self), **fields)


class GroupStatus(_WithSize):
    _fields_ = (("argsz", c_uint32), ("flags", c_uint32))
    flags: int


class RegionInfo(_WithSize):
    _fields_ = (
        ("argsz", c_uint32),
        ("flags", c_uint32),
        ("index", c_uint32),
        ("cap_offset", c_uint32),
        ("size", c_uint64),
        ("offset", c_uint64),
    )
    size: int
    offset: int


class IrqSet(_WithSize):
    """With room for one eventfd."""

    _fields_ = (
        ("argsz", c_uint32),
        ("flags", c_uint32),
        ("index", c_uint32),
        ("start", c_uint32),
        ("count", c_uint32),
        ("eventfd", c_int32),
    )


class DmaMap(_WithSize):
    _fields_ = (
        ("argsz", c_uint32),
        ("flags", c_uint32),
        ("vaddr", c_uint64),
        ("iova", c_uint64),
        ("size", c_uint64),
    )


class DmaUnmap(_WithSize):
    _fields_ = (
        ("argsz", c_uint32),
        ("flags", c_uint32),
        ("iova", c_uint64),
        ("size", c_uint64),
    )
