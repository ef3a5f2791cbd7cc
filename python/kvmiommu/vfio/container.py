# SPDX-License-Identifier: MIT
"""/dev/vfio/vfio as an object: an I/O address space, with the requests of type 1."""

from __future__ import annotations

import ctypes
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, overload

from .. import uapi
from .._shown import Hex, shown
from ..arguments import misfit, scratch, u64
from ..descriptor import Descriptor
from ..ranges import Range
from .bitmap import Bitmap, bitmap_bytes
from .capability_chain import chain

if TYPE_CHECKING:
    from ..process import Process

__all__ = ["Container", "IommuInfo"]

_v = uapi.vfio

# drivers/vfio/vfio_iommu_type1.c: DIRTY_BITMAP_SIZE_MAX. A longer one is refused unseen.
_LONGEST_BITMAP = 1 << 28
# struct vfio_iommu_type1_dma_map and vfio_iommu_type1_dma_unmap.
_DMA_MAP = struct.Struct("=IIQQQ")
_DMA_UNMAP = struct.Struct("=IIQQ")


@shown
@dataclass(frozen=True, slots=True, repr=False)
class IommuInfo:
    """What VFIO_IOMMU_GET_INFO says, its chain of capabilities taken apart."""

    #: The page sizes that can be mapped, a bit each.
    iova_pgsizes: Hex
    #: How many more mappings the container takes; None where the kernel does not say.
    dma_avail: int | None
    #: The iovas that can be mapped; empty where anything goes.
    iova_ranges: tuple[Range, ...]
    #: The longest bitmap of dirty pages, in bytes; None where none are tracked.
    max_dirty_bitmap_size: Hex | None


class Container(Descriptor):
    """/dev/vfio/vfio, opened once: one I/O address space for the groups that join it."""

    def __init__(self, process: Process) -> None:
        super().__init__(process, self._opened(process, "/dev/vfio/vfio"))

    def get_api_version(self) -> int:
        """VFIO_GET_API_VERSION: 0 since there is VFIO."""
        return self.ioctl(_v.VFIO_GET_API_VERSION)

    def check_extension(self, extension: int) -> int:
        """VFIO_CHECK_EXTENSION: asks the driver that is set, or all that could be; 0 is no."""
        return self.ioctl(_v.VFIO_CHECK_EXTENSION, u64("extension", extension))

    def set_iommu(self, type: int = _v.VFIO_TYPE1v2_IOMMU) -> None:
        """VFIO_SET_IOMMU: chooses the IOMMU driver, VFIO_NOIOMMU_IOMMU for groups without an IOMMU.

        - EINVAL: no group yet, or a driver is set;
        - ENODEV: no driver that may be set has the type;
        - EPERM: VFIO_NOIOMMU_IOMMU without CAP_SYS_RAWIO;
        - what the driver returns when the groups join it.
        """
        self.ioctl(_v.VFIO_SET_IOMMU, u64("type", type))

    # --- mappings ---

    def map_dma(
        self, iova: int, address: int, size: int, *, read: bool = True, write: bool = True
    ) -> None:
        """VFIO_IOMMU_MAP_DMA: maps the process's memory [address, address + size) at `iova`.

        `read` and `write` say what a device may do with it. A refused map leaves nothing mapped.

        - EINVAL: not page aligned, size 0, neither read nor write, reserved or beyond the aperture;
        - EEXIST: meets a mapping;
        - ENOSPC: no entry is left;
        - EFAULT: memory that cannot be pinned;
        - ENOMEM: past RLIMIT_MEMLOCK.
        """
        flags = _v.VFIO_DMA_MAP_FLAG_READ if read else 0
        flags |= _v.VFIO_DMA_MAP_FLAG_WRITE if write else 0
        self._map(iova, address, size, flags)

    def update_vaddr(self, iova: int, address: int, size: int) -> None:
        """VFIO_IOMMU_MAP_DMA with VFIO_DMA_MAP_FLAG_VADDR: gives a mapping its new user address,
        after `invalidate_vaddr`.

        - EINVAL: no mapping begins at `iova` and has this size, or its address is valid.
        """
        self._map(iova, address, size, _v.VFIO_DMA_MAP_FLAG_VADDR)

    def _map(self, iova: int, address: int, size: int, flags: int) -> None:
        try:
            block = _DMA_MAP.pack(_DMA_MAP.size, flags, address, iova, size)
        except struct.error:
            raise misfit(address=address, iova=iova, size=size) from None
        self.ioctl(_v.VFIO_IOMMU_MAP_DMA, block)

    @overload
    def unmap_dma(self, iova: int, size: int, *, bitmap: None = None) -> int: ...
    @overload
    def unmap_dma(self, iova: int, size: int, *, bitmap: int) -> Bitmap: ...
    def unmap_dma(self, iova: int, size: int, *, bitmap: int | None = None) -> int | Bitmap:
        """VFIO_IOMMU_UNMAP_DMA: unmaps the mappings within the range and returns how many bytes
        that were.

        `bitmap` is a page size in bytes. With it the call returns which pages were dirty when they
        were unmapped, and `Bitmap.unmapped` is how many bytes were
        (VFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP).

        - EINVAL: not page aligned, or size 0;
        - EINVAL: version 2, and a mapping would be cut;
        - EINVAL: `bitmap`, and dirty pages are not tracked, or it is not the smallest page size.
        """
        if bitmap is None:
            return self._unmap(iova, size, 0)
        u64("bitmap", bitmap)
        unmap = _v.vfio_iommu_type1_dma_unmap(
            argsz=_DMA_UNMAP.size + ctypes.sizeof(_v.vfio_bitmap),
            flags=_v.VFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP,
            iova=u64("iova", iova),
            size=u64("size", size),
        )
        length = bitmap_bytes(size, bitmap)
        with scratch(self.process, min(length, _LONGEST_BITMAP)) as address:
            tail = _v.vfio_bitmap(pgsize=bitmap, size=length, data=address)
            block = bytearray(bytes(unmap) + bytes(tail))
            self.ioctl(_v.VFIO_IOMMU_UNMAP_DMA, block)
            data = self.process.peek(address, length)
        unmapped = int(_v.vfio_iommu_type1_dma_unmap.from_buffer_copy(block).size)
        return Bitmap(iova, size, bitmap, data, unmapped)

    def unmap_all(self) -> int:
        """VFIO_IOMMU_UNMAP_DMA with VFIO_DMA_UNMAP_FLAG_ALL: unmaps everything and returns how many
        bytes that were."""
        return self._unmap(0, 0, _v.VFIO_DMA_UNMAP_FLAG_ALL)

    def invalidate_vaddr(self, iova: int, size: int) -> int:
        """VFIO_IOMMU_UNMAP_DMA with VFIO_DMA_UNMAP_FLAG_VADDR: makes the user addresses of the
        mappings within the range invalid, and returns how many bytes these map. Devices reach the
        memory as before.

        - EINVAL: as `unmap_dma`, or an address is invalid already;
        - EBUSY: a driver without an IOMMU uses the user addresses.
        """
        return self._unmap(iova, size, _v.VFIO_DMA_UNMAP_FLAG_VADDR)

    def _unmap(self, iova: int, size: int, flags: int) -> int:
        block = bytearray(_DMA_UNMAP.size)
        try:
            _DMA_UNMAP.pack_into(block, 0, _DMA_UNMAP.size, flags, iova, size)
        except struct.error:
            raise misfit(iova=iova, size=size) from None
        self.ioctl(_v.VFIO_IOMMU_UNMAP_DMA, block)
        return int(_DMA_UNMAP.unpack(block)[-1])

    def get_info(self) -> IommuInfo:
        """VFIO_IOMMU_GET_INFO: page sizes and limits of the IOMMU driver that is set.

        - EINVAL: none is set.
        """
        info = _v.vfio_iommu_type1_info(argsz=ctypes.sizeof(_v.vfio_iommu_type1_info))
        self.ioctl(_v.VFIO_IOMMU_GET_INFO, info)
        # argsz has become the length of the whole chain.
        info.argsz = max(info.argsz, ctypes.sizeof(info))
        block = bytearray(bytes(info).ljust(info.argsz, b"\0"))
        self.ioctl(_v.VFIO_IOMMU_GET_INFO, block)
        return _iommu_info(block)

    # --- dirty pages ---

    def start_dirty_pages(self) -> None:
        """VFIO_IOMMU_DIRTY_PAGES: starts tracking dirty pages; no error if they are tracked.

        - EACCES: a container of version 1;
        - ENOMEM: no memory for the bitmaps of what is mapped.
        """
        self._dirty_pages(_v.VFIO_IOMMU_DIRTY_PAGES_FLAG_START)

    def stop_dirty_pages(self) -> None:
        """VFIO_IOMMU_DIRTY_PAGES: stops tracking dirty pages, and forgets them.

        - EACCES: a container of version 1.
        """
        self._dirty_pages(_v.VFIO_IOMMU_DIRTY_PAGES_FLAG_STOP)

    def _dirty_pages(self, flags: int) -> None:
        self.ioctl(
            _v.VFIO_IOMMU_DIRTY_PAGES,
            _v.vfio_iommu_type1_dirty_bitmap(
                argsz=ctypes.sizeof(_v.vfio_iommu_type1_dirty_bitmap), flags=flags
            ),
        )

    def dirty_bitmap(self, iova: int, size: int, *, page_size: int = 4096) -> Bitmap:
        """VFIO_IOMMU_DIRTY_PAGES: returns the pages of the range that devices may have written.

        `page_size` is in bytes. Reading makes pages clean, except those that a device can still
        write.

        - EACCES: a container of version 1;
        - EINVAL: dirty pages are not tracked, a mapping would be cut, `page_size` is not the
          smallest page size of the container, or the range is not a multiple of it.
        """
        length = bitmap_bytes(u64("size", size), u64("page_size", page_size))
        with scratch(self.process, min(length, _LONGEST_BITMAP)) as address:
            head = _v.vfio_iommu_type1_dirty_bitmap(
                argsz=ctypes.sizeof(_v.vfio_iommu_type1_dirty_bitmap)
                + ctypes.sizeof(_v.vfio_iommu_type1_dirty_bitmap_get),
                flags=_v.VFIO_IOMMU_DIRTY_PAGES_FLAG_GET_BITMAP,
            )
            get = _v.vfio_iommu_type1_dirty_bitmap_get(
                iova=u64("iova", iova),
                size=size,
                bitmap=_v.vfio_bitmap(pgsize=page_size, size=length, data=address),
            )
            self.ioctl(_v.VFIO_IOMMU_DIRTY_PAGES, bytearray(bytes(head) + bytes(get)))
            data = self.process.peek(address, length)
        return Bitmap(iova, size, page_size, data)


def _iommu_info(block: bytearray) -> IommuInfo:
    info = _v.vfio_iommu_type1_info.from_buffer_copy(block)
    avail: int | None = None
    largest: int | None = None
    ranges: tuple[Range, ...] = ()
    for capability in chain(block, int(info.cap_offset)):
        data = capability.data
        match capability.id:
            case _v.VFIO_IOMMU_TYPE1_INFO_DMA_AVAIL:
                avail = int(_v.vfio_iommu_type1_info_dma_avail.from_buffer_copy(data).avail)
            case _v.VFIO_IOMMU_TYPE1_INFO_CAP_MIGRATION:
                migration = _v.vfio_iommu_type1_info_cap_migration.from_buffer_copy(data)
                largest = int(migration.max_dirty_bitmap_size)
            case _v.VFIO_IOMMU_TYPE1_INFO_CAP_IOVA_RANGE:
                head = _v.vfio_iommu_type1_info_cap_iova_range
                count = head.from_buffer_copy(data).nr_iovas
                array = (_v.vfio_iova_range * count).from_buffer_copy(data, ctypes.sizeof(head))
                ranges = tuple(Range(each.start, each.end) for each in array)
    return IommuInfo(int(info.iova_pgsizes), avail, ranges, largest)
