# SPDX-License-Identifier: MIT
"""A region of a device: VFIO_DEVICE_GET_REGION_INFO with its capabilities, accesses, mappings."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from .. import uapi
from .._integers import fit
from .._shown import Hex, PrettyAsRepr, shown
from ..arguments import u32, u64
from ..descriptor import AnyDescriptor, Closing, fd_of
from ..uapi import posix
from .capability_chain import Capability, chain

if TYPE_CHECKING:
    from .._core import ReadableBuffer
    from ..process import Process
    from .device import Device

__all__ = [
    "Area",
    "Mapping",
    "MsixMappable",
    "OtherCapability",
    "Region",
    "RegionCapability",
    "RegionType",
    "SparseMmap",
    "set_ioeventfd",
]

_v = uapi.vfio


@shown
class Area(NamedTuple):
    """A part of a region that can be mapped: `size` bytes from `offset` in the region on."""

    offset: Hex
    size: Hex


@dataclass(frozen=True, slots=True)
class SparseMmap(PrettyAsRepr):
    """VFIO_REGION_INFO_CAP_SPARSE_MMAP: only these areas of the region can be mapped."""

    areas: tuple[Area, ...]


@shown
@dataclass(frozen=True, slots=True, repr=False)
class RegionType:
    """VFIO_REGION_INFO_CAP_TYPE: what a region beyond the fixed indexes holds."""

    #: VFIO_REGION_TYPE_*.
    type: Hex
    #: VFIO_REGION_SUBTYPE_*, meaningful within the type.
    subtype: Hex


@dataclass(frozen=True, slots=True)
class MsixMappable:
    """VFIO_REGION_INFO_CAP_MSIX_MAPPABLE: the pages with the MSI-X table can be mapped, too."""


@dataclass(frozen=True, slots=True)
class OtherCapability:
    """A capability that has no class here; `data` are its bytes, the header's included."""

    id: int
    version: int
    data: bytes


RegionCapability: TypeAlias = SparseMmap | RegionType | MsixMappable | OtherCapability


# Where vfio-pci puts its regions (include/linux/vfio_pci_core.h: VFIO_PCI_OFFSET_SHIFT). Emulated
# devices have one region, at 0.
REGION_SHIFT = 40


def within_region(offset: int) -> int:
    """An offset that cannot reach the next region, or OverflowError."""
    return fit("offset", offset, 0, (1 << REGION_SHIFT) - 1)


class Mapping(Closing):
    """A region, or a part of it, in the address space of the process; `Region.mmap` makes one.

    It keeps the device open. A `with` block unmaps it at its end.
    """

    def __init__(self, process: Process, address: int, length: int) -> None:
        self.process = process
        #: Where it begins, a user address.
        self.address = address
        #: In bytes.
        self.length = length
        self._mapped = True

    def peek(self, offset: int, length: int) -> bytes:
        """Loads of the process, `offset` bytes from the mapping's start.

        MemoryFault: past its end; SIGBUS while the device's memory is switched off.
        """
        return self.process.peek(self._at(offset), length)

    def poke(self, offset: int, data: ReadableBuffer) -> None:
        """Stores of the process. MemoryFault: as `peek`."""
        self.process.poke(self._at(offset), data)

    def _at(self, offset: int) -> int:
        if not self._mapped:
            raise ValueError(f"operation on {self!r}")
        return self.address + u64("offset", offset)

    def close(self) -> None:
        """munmap(); no error if it was done."""
        if self._mapped:
            self._mapped = False
            self.process.munmap(self.address, self.length)

    def __repr__(self) -> str:
        state = "" if self._mapped else ", unmapped"
        return f"<Mapping of {self.length:#x} bytes at {self.address:#x}{state}>"


class Region:
    """A region of a device, as VFIO_DEVICE_GET_REGION_INFO says; `Device.region` makes one."""

    def __init__(self, device: Device, index: int) -> None:
        """OSError EINVAL: the device has no region of that index."""
        self.device = device
        #: VFIO_PCI_BAR0_REGION_INDEX and its like.
        self.index = index
        block = _region_info(device, u32("index", index))
        info = _v.vfio_region_info.from_buffer_copy(block)
        #: VFIO_REGION_INFO_FLAG_*.
        self.flags = int(info.flags)
        #: In bytes; 0 for a region that the device does not have.
        self.size = int(info.size)
        #: Where the region begins in the device's file.
        self.offset = int(info.offset)
        #: In the order of the kernel's chain.
        self.capabilities: tuple[RegionCapability, ...] = tuple(
            _decode(each) for each in chain(block, int(info.cap_offset))
        )

    def read(self, offset: int, length: int) -> bytes:
        """pread(): at most `length` bytes; fewer at the region's end.

        - EINVAL: there is no such region, or `offset` is past its end;
        - EIO: the device's memory is switched off, or the device asleep.
        """
        return self.device.process.pread(self.device.fd, length, self._at(offset))

    def write(self, offset: int, data: ReadableBuffer) -> int:
        """pwrite(): the bytes written; fewer at the region's end. OSError: as `read`."""
        return self.device.process.pwrite(self.device.fd, data, self._at(offset))

    def mmap(
        self,
        offset: int = 0,
        length: int | None = None,
        prot: int = posix.PROT_READ | posix.PROT_WRITE,
    ) -> Mapping:
        """mmap(), shared: `length` bytes from `offset` on; to the region's end if it is None.

        `offset` is a multiple of the page size, `prot` is PROT_READ and its like.

        - EINVAL: the region cannot be mapped, or not so far;
        - ENOMEM: no user addresses are left.
        """
        place = self._at(offset)
        if length is None:
            length = max(self.size - offset, 0)
        process = self.device.process
        address = process.mmap(length, prot, posix.MAP_SHARED, self.device.fd, place)
        return Mapping(process, address, length)

    def ioeventfd(
        self, offset: int, data: int, eventfd: AnyDescriptor | None, *, size: int = 4
    ) -> None:
        """VFIO_DEVICE_IOEVENTFD: `Device.ioeventfd` for this region."""
        set_ioeventfd(self.device, self._at(offset), data, eventfd, size)

    def _at(self, offset: int) -> int:
        return self.offset + within_region(offset)

    def __repr__(self) -> str:
        return f"<Region {self.index} of {self.device!r}: {self.size:#x} bytes>"


def set_ioeventfd(
    device: Device, offset: int, data: int, eventfd: AnyDescriptor | None, size: int
) -> None:
    """VFIO_DEVICE_IOEVENTFD; `offset` is that of the device's file."""
    device.ioctl(
        _v.VFIO_DEVICE_IOEVENTFD,
        _v.vfio_device_ioeventfd(
            argsz=ctypes.sizeof(_v.vfio_device_ioeventfd),
            flags=u32("size", size),  # VFIO_DEVICE_IOEVENTFD_8 and its like: the width in bytes
            offset=u64("offset", offset),
            data=u64("data", data),
            fd=-1 if eventfd is None else fd_of(device.process, "eventfd", eventfd),
        ),
    )


def _region_info(device: Device, index: int) -> bytearray:
    """The information with its chain: the first call says how long both are."""
    info = _v.vfio_region_info(argsz=ctypes.sizeof(_v.vfio_region_info), index=index)
    device.ioctl(_v.VFIO_DEVICE_GET_REGION_INFO, info)
    if info.argsz <= ctypes.sizeof(info):
        return bytearray(info)
    block = bytearray(bytes(info).ljust(info.argsz, b"\0"))
    device.ioctl(_v.VFIO_DEVICE_GET_REGION_INFO, block)
    return block


def _decode(capability: Capability) -> RegionCapability:
    data = capability.data
    match capability.id:
        case _v.VFIO_REGION_INFO_CAP_SPARSE_MMAP:
            head = _v.vfio_region_info_cap_sparse_mmap
            count = head.from_buffer_copy(data).nr_areas
            array = _v.vfio_region_sparse_mmap_area * count
            areas = array.from_buffer_copy(data, ctypes.sizeof(head))
            return SparseMmap(tuple(Area(int(each.offset), int(each.size)) for each in areas))
        case _v.VFIO_REGION_INFO_CAP_TYPE:
            kind = _v.vfio_region_info_cap_type.from_buffer_copy(data)
            return RegionType(int(kind.type), int(kind.subtype))
        case _v.VFIO_REGION_INFO_CAP_MSIX_MAPPABLE:
            return MsixMappable()
        case _:
            return OtherCapability(*capability)
