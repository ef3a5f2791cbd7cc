# SPDX-License-Identifier: MIT
"""VFIO as objects: a container, its groups, their devices.

    with vfio.Container(process) as container, vfio.Group(process, 1) as group:
        group.set_container(container)
        container.set_iommu()
        container.map_dma(iova=0x100000, address=buffer, size=0x10000)

Each method is one ioctl, named after it, and raises the `OSError` that the kernel answers with; the
structs are those of `kvmiommu.uapi.vfio`. Sizes and addresses are bytes.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Sequence
from dataclasses import dataclass

from . import uapi
from .descriptor import Descriptor, int_argument
from .process import Process

__all__ = ["Container", "Device", "Group", "IommuInfo"]

_v = uapi.vfio


@dataclass(frozen=True, slots=True)
class IommuInfo:
    """What VFIO_IOMMU_GET_INFO says, its chain of capabilities taken apart.

    `iova_ranges` are the iovas that can be mapped, ends included; empty where anything goes.
    """

    iova_pgsizes: int
    dma_avail: int | None
    iova_ranges: tuple[tuple[int, int], ...]
    max_dirty_bitmap_size: int | None


class Container(Descriptor):
    """/dev/vfio/vfio, opened once: one I/O address space for the groups that join it."""

    def __init__(self, process: Process) -> None:
        super().__init__(process, process.open("/dev/vfio/vfio", os.O_RDWR))

    def get_api_version(self) -> int:
        return self.ioctl(_v.VFIO_GET_API_VERSION)

    def check_extension(self, extension: int) -> int:
        """What the driver that is set says, else the best of those that could be: 0 is no."""
        return self.ioctl(_v.VFIO_CHECK_EXTENSION, extension)

    def set_iommu(self, type: int = _v.VFIO_TYPE1v2_IOMMU) -> None:
        """Chooses the IOMMU driver. OSError EINVAL: no group yet, or chosen already."""
        self.ioctl(_v.VFIO_SET_IOMMU, type)

    def map_dma(
        self, iova: int, address: int, size: int, *, read: bool = True, write: bool = True
    ) -> None:
        """Lets devices reach [address, address + size) of the process at `iova`.

        OSError: EINVAL not page aligned, size 0, reserved or beyond the aperture; EEXIST meets a
        mapping; ENOSPC no entry left; EFAULT memory that cannot be pinned; ENOMEM past
        RLIMIT_MEMLOCK. A refused map leaves nothing mapped.
        """
        flags = (read and _v.VFIO_DMA_MAP_FLAG_READ) | (write and _v.VFIO_DMA_MAP_FLAG_WRITE)
        self.ioctl(
            _v.VFIO_IOMMU_MAP_DMA,
            _v.vfio_iommu_type1_dma_map(
                argsz=ctypes.sizeof(_v.vfio_iommu_type1_dma_map),
                flags=flags,
                vaddr=address,
                iova=iova,
                size=size,
            ),
        )

    def unmap_dma(self, iova: int, size: int) -> int:
        """Unmaps the mappings within the range; the bytes that went.

        OSError EINVAL: not page aligned, size 0, or (version 2) a mapping would be cut.
        """
        return self._unmap(iova, size, 0)

    def unmap_all(self) -> int:
        """Unmaps everything; the bytes that went."""
        return self._unmap(0, 0, _v.VFIO_DMA_UNMAP_FLAG_ALL)

    def _unmap(self, iova: int, size: int, flags: int) -> int:
        unmap = _v.vfio_iommu_type1_dma_unmap(
            argsz=ctypes.sizeof(_v.vfio_iommu_type1_dma_unmap), flags=flags, iova=iova, size=size
        )
        self.ioctl(_v.VFIO_IOMMU_UNMAP_DMA, unmap)
        return int(unmap.size)

    def get_info(self) -> IommuInfo:
        """Page sizes and limits of the IOMMU that is set."""
        info = _v.vfio_iommu_type1_info(argsz=ctypes.sizeof(_v.vfio_iommu_type1_info))
        self.ioctl(_v.VFIO_IOMMU_GET_INFO, info)
        block = bytearray(max(info.argsz, ctypes.sizeof(info)))
        block[:4] = len(block).to_bytes(4, "little")
        self.ioctl(_v.VFIO_IOMMU_GET_INFO, block)
        return _iommu_info(block)

    def start_dirty_pages(self) -> None:
        """Tracks dirty pages from now on; again is no error."""
        self._dirty_pages(_v.VFIO_IOMMU_DIRTY_PAGES_FLAG_START)

    def stop_dirty_pages(self) -> None:
        self._dirty_pages(_v.VFIO_IOMMU_DIRTY_PAGES_FLAG_STOP)

    def _dirty_pages(self, flags: int) -> None:
        self.ioctl(
            _v.VFIO_IOMMU_DIRTY_PAGES,
            _v.vfio_iommu_type1_dirty_bitmap(
                argsz=ctypes.sizeof(_v.vfio_iommu_type1_dirty_bitmap), flags=flags
            ),
        )

    def dirty_bitmap(self, iova: int, size: int, *, page_size: int = 4096) -> list[int]:
        """The iovas of the pages in [iova, iova + size) that devices may have written.

        Reading forgets them, but for those that are pinned. OSError EINVAL: not tracked, a mapping
        would be cut, or `page_size` is not the smallest one of the container.
        """
        pages = size // page_size
        length = max((pages + 63) // 64 * 8, 8)
        bitmap = self.process.mmap(length, 3, 0x22)  # private, anonymous, readable and writable
        try:
            head = _v.vfio_iommu_type1_dirty_bitmap(
                argsz=ctypes.sizeof(_v.vfio_iommu_type1_dirty_bitmap)
                + ctypes.sizeof(_v.vfio_iommu_type1_dirty_bitmap_get),
                flags=_v.VFIO_IOMMU_DIRTY_PAGES_FLAG_GET_BITMAP,
            )
            get = _v.vfio_iommu_type1_dirty_bitmap_get(
                iova=iova,
                size=size,
                bitmap=_v.vfio_bitmap(pgsize=page_size, size=length, data=bitmap),
            )
            self.ioctl(_v.VFIO_IOMMU_DIRTY_PAGES, bytearray(bytes(head) + bytes(get)))
            bits = int.from_bytes(self.process.peek(bitmap, length), "little")
        finally:
            self.process.munmap(bitmap, length)
        return [iova + page * page_size for page in range(pages) if bits >> page & 1]


class Group(Descriptor):
    """/dev/vfio/N: the devices that cannot be told apart. One open at a time: OSError EBUSY."""

    def __init__(self, process: Process, number: int) -> None:
        self.number = number
        super().__init__(process, process.open(f"/dev/vfio/{number}", os.O_RDWR))

    def get_status(self) -> int:
        """VFIO_GROUP_FLAGS_VIABLE and VFIO_GROUP_FLAGS_CONTAINER_SET."""
        status = _v.vfio_group_status(argsz=ctypes.sizeof(_v.vfio_group_status))
        self.ioctl(_v.VFIO_GROUP_GET_STATUS, status)
        return int(status.flags)

    def set_container(self, container: Container | int) -> None:
        """Joins a container, or what a descriptor names.

        OSError: EINVAL in one already; EBADFD not a container; EPERM not viable; what its IOMMU
        driver says.
        """
        fd = container if isinstance(container, int) else container.fd
        self.ioctl(_v.VFIO_GROUP_SET_CONTAINER, int_argument(fd))

    def unset_container(self) -> None:
        """Leaves the container. OSError: EINVAL in none, EBUSY a device is open."""
        self.ioctl(_v.VFIO_GROUP_UNSET_CONTAINER)

    def get_device(self, name: str) -> Device:
        """The device of that name ("0000:00:02.0"). OSError: ENODEV; EINVAL no IOMMU is set."""
        fd = self.ioctl(_v.VFIO_GROUP_GET_DEVICE_FD, bytearray(name.encode() + b"\0"))
        return Device(self.process, fd)


class Device(Descriptor):
    """A device in user space's hands."""

    def get_info(self) -> ctypes.Structure:
        """uapi.vfio.vfio_device_info: flags, how many regions and interrupts."""
        info = _v.vfio_device_info(argsz=ctypes.sizeof(_v.vfio_device_info))
        self.ioctl(_v.VFIO_DEVICE_GET_INFO, info)
        return info

    def get_region_info(self, index: int) -> ctypes.Structure:
        """uapi.vfio.vfio_region_info: size, and the offset for reads and writes."""
        info = _v.vfio_region_info(argsz=ctypes.sizeof(_v.vfio_region_info), index=index)
        self.ioctl(_v.VFIO_DEVICE_GET_REGION_INFO, info)
        return info

    def get_irq_info(self, index: int) -> ctypes.Structure:
        """uapi.vfio.vfio_irq_info: how many interrupts of a kind, and what can be done."""
        info = _v.vfio_irq_info(argsz=ctypes.sizeof(_v.vfio_irq_info), index=index)
        self.ioctl(_v.VFIO_DEVICE_GET_IRQ_INFO, info)
        return info

    def set_irqs(self, index: int, start: int, eventfds: Sequence[int]) -> None:
        """Lets interrupts `start`… of a kind signal these eventfds, -1 for none; no eventfds at all
        disables the kind."""
        if not eventfds:
            flags = _v.VFIO_IRQ_SET_DATA_NONE | _v.VFIO_IRQ_SET_ACTION_TRIGGER
        else:
            flags = _v.VFIO_IRQ_SET_DATA_EVENTFD | _v.VFIO_IRQ_SET_ACTION_TRIGGER
        tail = b"".join(fd.to_bytes(4, "little", signed=True) for fd in eventfds)
        head = _v.vfio_irq_set(
            argsz=ctypes.sizeof(_v.vfio_irq_set) + len(tail),
            flags=flags,
            index=index,
            start=start,
            count=len(eventfds),
        )
        self.ioctl(_v.VFIO_DEVICE_SET_IRQS, bytearray(bytes(head) + tail))

    def reset(self) -> None:
        """OSError EINVAL: the device cannot be reset on its own."""
        self.ioctl(_v.VFIO_DEVICE_RESET)

    def read(self, index: int, offset: int, length: int) -> bytes:
        """Reads a region. Raises OSError; the answer may be shorter at the region's end."""
        return self.process.pread(self.fd, length, (index << 40) + offset)

    def write(self, index: int, offset: int, data: bytes) -> int:
        """Writes a region; the bytes written."""
        return self.process.pwrite(self.fd, data, (index << 40) + offset)


def _iommu_info(block: bytearray) -> IommuInfo:
    """The answer with its chain: each capability says where the next one begins, 0 ends."""
    info = _v.vfio_iommu_type1_info.from_buffer_copy(block)
    avail: int | None = None
    largest: int | None = None
    ranges: list[tuple[int, int]] = []
    at = int(info.cap_offset)
    while at:
        header = _v.vfio_info_cap_header.from_buffer_copy(block, at)
        match header.id:
            case _v.VFIO_IOMMU_TYPE1_INFO_DMA_AVAIL:
                avail = int(_v.vfio_iommu_type1_info_dma_avail.from_buffer_copy(block, at).avail)
            case _v.VFIO_IOMMU_TYPE1_INFO_CAP_MIGRATION:
                migration = _v.vfio_iommu_type1_info_cap_migration.from_buffer_copy(block, at)
                largest = int(migration.max_dirty_bitmap_size)
            case _v.VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE:
                head = _v.vfio_iommu_type1_info_cap_iova_range
                count = head.from_buffer_copy(block, at).nr_iovas
                array = _v.vfio_iova_range * count
                ranges = [
                    (entry.start, entry.end)
                    for entry in array.from_buffer_copy(block, at + ctypes.sizeof(head))
                ]
        at = int(header.next)
    return IommuInfo(int(info.iova_pgsizes), avail, tuple(ranges), largest)
