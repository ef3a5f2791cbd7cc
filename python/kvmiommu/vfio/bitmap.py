# SPDX-License-Identifier: MIT
"""Dirty pages, as VFIO_IOMMU_DIRTY_PAGES and VFIO_IOMMU_UNMAP_DMA report them.

The layout is that of `struct vfio_bitmap` (include/uapi/linux/vfio.h): words of 64 bits, whose
bit n stands for page n of the range.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from .._shown import PrettyAsRepr
from ..ranges import Range

__all__ = ["Bitmap", "bitmap_bytes"]

_WORD = struct.Struct("<Q")
_BITS = 8 * _WORD.size
_ALL = (1 << _BITS) - 1


def bitmap_bytes(size: int, page_size: int) -> int:
    """How long the bitmap of `size` bytes is: whole words, one at least."""
    # A page size of 0 is the kernel's to refuse.
    pages = size // page_size if page_size else 0
    return max((pages + _BITS - 1) // _BITS, 1) * _WORD.size


@dataclass(frozen=True, slots=True)
class Bitmap(PrettyAsRepr):
    """The pages from `iova` to `iova` + `size` that devices may have written.

    A collection of the dirty pages: iterating yields their iovas in ascending order, `len()` is how
    many there are, and an iova is `in` it whose page is dirty. `ranges()` joins neighbours. `data`
    is what the kernel wrote, bits behind the range included, which nothing else of this object
    looks at.
    """

    #: Where the range begins.
    iova: int
    #: How long it is, in bytes.
    size: int
    #: What a bit stands for, in bytes.
    page_size: int
    #: Words of 64 bits, little-endian.
    data: bytes
    #: Bytes that the call unmapped: 0 unless it was `Container.unmap_dma`.
    unmapped: int = 0

    def ranges(self) -> Iterator[Range]:
        """The dirty ranges in ascending order, each as long as it can be."""
        for first, end in self._runs():
            yield Range(self.iova + first * self.page_size, self.iova + end * self.page_size - 1)

    def __iter__(self) -> Iterator[int]:
        for first, end in self._runs():
            yield from range(
                self.iova + first * self.page_size,
                self.iova + end * self.page_size,
                self.page_size,
            )

    def __len__(self) -> int:
        return sum(end - first for first, end in self._runs())

    def __contains__(self, iova: int) -> bool:
        """Whether the page with this iova is dirty. False outside of the range."""
        page = (iova - self.iova) // self.page_size
        return 0 <= page < self.size // self.page_size and bool(
            self.data[page // 8] >> page % 8 & 1
        )

    def __bool__(self) -> bool:
        return next(self._runs(), None) is not None

    def _runs(self) -> Iterator[tuple[int, int]]:
        """Runs of dirty pages: the first one, and the one behind the last."""
        pages = self.size // self.page_size
        first: int | None = None
        for index, (word,) in enumerate(_WORD.iter_unpack(self.data)):
            page = index * _BITS
            if page >= pages:
                break
            if word == 0 and first is None:
                continue
            if word == _ALL and first is not None:
                continue
            for bit in range(min(_BITS, pages - page)):
                if word >> bit & 1:
                    first = page + bit if first is None else first
                elif first is not None:
                    yield first, page + bit
                    first = None
        if first is not None:
            yield first, pages

    def __repr__(self) -> str:
        dirty = ", ".join(f"{each.start:#x}-{each.last:#x}" for each in self.ranges()) or "none"
        last = self.iova + self.size - 1
        unmapped = f", {self.unmapped:#x} bytes unmapped" if self.unmapped else ""
        return (
            f"<Bitmap of {self.iova:#x}-{last:#x} in pages of {self.page_size:#x}, "
            f"dirty: {dirty}{unmapped}>"
        )
