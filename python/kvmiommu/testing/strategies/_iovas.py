# SPDX-License-Identifier: MIT
"""Iovas, ranges of them, and programs of map and unmap calls on one address space."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from hypothesis import strategies as st

from ._arguments import at_least, page_of
from ._shown import Shown

__all__ = ["IovaRange", "MapCall", "UnmapCall", "iova_ranges", "iovas", "map_programs"]

PAGE_SIZE = 4096
#: x86's interrupt window begins here.
MSI_WINDOW = 0xFEE00000


class _IovaRange(NamedTuple):
    iova: int
    size: int


class IovaRange(Shown, _IovaRange):
    """`size` bytes from `iova` on, as the calls take them; a tuple of the two."""

    __slots__ = ()

    @property
    def last(self) -> int:
        """The last byte."""
        return self.iova + self.size - 1

    def __repr__(self) -> str:
        return f"IovaRange(iova={self.iova:#x}, size={self.size:#x})"


@dataclass(frozen=True, slots=True, repr=False)
class MapCall(Shown):
    """Map `size` bytes at `iova`, backed from `offset` in a buffer; `access` as the device has."""

    iova: int
    size: int
    offset: int
    access: Literal["r", "w", "rw"] = "rw"

    def __repr__(self) -> str:
        return (
            f"MapCall(iova={self.iova:#x}, size={self.size:#x}, offset={self.offset:#x}, "
            f"access={self.access!r})"
        )


@dataclass(frozen=True, slots=True, repr=False)
class UnmapCall(Shown):
    """Unmap `size` bytes at `iova`."""

    iova: int
    size: int

    def __repr__(self) -> str:
        return f"UnmapCall(iova={self.iova:#x}, size={self.size:#x})"


def _last_page(address_width: int, page_size: int) -> int:
    """The last page of the space. Raises ValueError: not even one fits."""
    size = page_of("page_size", page_size)
    width = at_least("address_width", address_width, size.bit_length() - 1)
    return (1 << width) // size - 1


def iovas(
    *,
    address_width: int = 48,
    page_size: int = PAGE_SIZE,
    borders: Sequence[int] = (0, 1 << 21, 1 << 30, MSI_WINDOW, 1 << 32),
) -> st.SearchStrategy[int]:
    """Page-aligned iovas below 2**address_width, often a few pages from one of `borders` or from
    the end of the space. Shrinks to a small number of pages from 0."""
    last_page = _last_page(address_width, page_size)
    places = sorted({border // page_size for border in (*borders, 1 << address_width)})

    def near(place: int, distance: int) -> int:
        return min(max(place + distance, 0), last_page) * page_size

    small = st.integers(0, min(64, last_page)).map(lambda page: page * page_size)
    border = st.builds(near, st.sampled_from(places), st.integers(-3, 3))
    anywhere = st.integers(0, last_page).map(lambda page: page * page_size)
    return st.one_of(small, border, anywhere)


def iova_ranges(
    *, address_width: int = 48, page_size: int = PAGE_SIZE, most_pages: int = 1024
) -> st.SearchStrategy[IovaRange]:
    """Ranges that end within the space, of 1 to `most_pages` pages; sizes are often
    powers of two. Shrinks to one page at a small iova."""
    at_least("most_pages", most_pages, 1)
    _last_page(address_width, page_size)
    end = 1 << address_width
    orders = st.integers(0, most_pages.bit_length() - 1).map(lambda order: 1 << order)
    pages = st.one_of(orders, st.integers(1, most_pages))

    def fit(iova: int, count: int) -> IovaRange:
        return IovaRange(iova, min(count * page_size, end - iova))

    return st.builds(fit, iovas(address_width=address_width, page_size=page_size), pages)


def map_programs(
    *,
    buffer_size: int = 1 << 20,
    address_width: int = 48,
    page_size: int = PAGE_SIZE,
    most_calls: int = 20,
) -> st.SearchStrategy[list[MapCall | UnmapCall]]:
    """Programs of map and unmap calls on one address space, backed by a buffer of `buffer_size`
    bytes. Half of the unmaps name a range that was mapped before, so that programs do something;
    the others meet holes and parts of mappings. Nothing says that a call succeeds."""
    at_least("most_calls", most_calls, 0)
    at_least("buffer_size", buffer_size, page_of("page_size", page_size))
    ranges = iova_ranges(
        address_width=address_width, page_size=page_size, most_pages=buffer_size // page_size
    )
    return _map_programs(ranges, buffer_size, page_size, most_calls)


@st.composite
def _map_programs(
    draw: st.DrawFn,
    ranges: st.SearchStrategy[IovaRange],
    buffer_size: int,
    page_size: int,
    most_calls: int,
) -> list[MapCall | UnmapCall]:
    program: list[MapCall | UnmapCall] = []
    mapped: list[IovaRange] = []
    for _ in range(draw(st.integers(0, most_calls))):
        if draw(st.booleans()):
            known = bool(mapped) and draw(st.booleans())
            iova, size = draw(st.sampled_from(mapped) if known else ranges)
            program.append(UnmapCall(iova, size))
        else:
            iova, size = draw(ranges)
            room = (buffer_size - size) // page_size
            offset = draw(st.integers(0, room)) * page_size
            program.append(MapCall(iova, size, offset, draw(st.sampled_from(("rw", "r", "w")))))
            mapped.append(IovaRange(iova, size))
    return program
