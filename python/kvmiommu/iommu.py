# SPDX-License-Identifier: MIT
"""I/O page tables to play with, without a machine around them.

    from kvmiommu import iommu

    domain = iommu.Domain("vtdss", pgsize_bitmap=iommu.pages("4K", "2M"))
    domain.map(0x200000, 0x1_4000_0000, 0x400000)
    print(*domain.walk(0x212345), sep="\\n")

A `Domain` is one page table of a format, in memory of its own, with the bits that hardware would
read. Ranges are split into pages as the kernel splits them; what is refused is an `OSError` that
says why. Calls may come from several threads: those for ranges of their own run side by side.
"""

from __future__ import annotations

import array
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias, TypeVar, cast, overload

from . import _core
from ._integers import fit
from ._shown import Hex, shown
from .ranges import Range

if TYPE_CHECKING:
    from typing_extensions import Buffer

    from ._core import Numbers

    _Out = TypeVar("_Out", bound=Numbers)

__all__ = [
    "CACHE",
    "READ",
    "WRITE",
    "Domain",
    "Format",
    "FormatName",
    "Memory",
    "WalkStep",
    "formats",
    "pages",
]

#: What a mapping lets a device do: `IOMMU_READ` and its like.
READ, WRITE, CACHE = 1, 2, 4

#: The names of `formats()`.
FormatName: TypeAlias = Literal[
    "amdv1",
    "x86_64",
    "x86_64-signed",
    "vtdss",
    "armv8-s1",
    "armv8-s1-16k",
    "armv8-s1-64k",
    "armv8-s1-ttbr1",
    "armv8-s2",
    "armv8-s2-16k",
    "armv8-s2-64k",
    "armv7s",
    "riscv64",
    "riscv64-svnapot",
    "tce",
    "mock",
]
PartialUnmap: TypeAlias = Literal["whole", "whole_from_start", "split", "refuse"]
Overlap: TypeAlias = Literal["EEXIST", "EADDRINUSE"]

_PARTIAL_UNMAP = ("whole", "whole_from_start", "split", "refuse")
_OVERLAP = {"EEXIST": 17, "EADDRINUSE": 98}
_UNITS = {"": 0, "K": 10, "M": 20, "G": 30, "T": 40}
_WORD = 64
_MOST_DIRTY_BITS = 1 << 28


def pages(*sizes: str | int) -> int:
    """A bitmap of page sizes: `pages("4K", "2M")` is 0x201000."""
    bitmap = 0
    for size in sizes:
        if isinstance(size, str):
            digits, unit = size.rstrip("KMGT"), size[-1:] if size[-1:] in "KMGT" else ""
            if not digits.isdigit() or digits + unit != size:
                raise ValueError(f"{size!r} is no page size: write it as 4096, '4K', '2M' or '1G'")
            number = int(digits) << _UNITS[unit]
        else:
            number = size
        if number <= 0 or number & (number - 1) or number >= 1 << _WORD:
            raise ValueError(f"a page of {size!r}: must be a power of two below 2**64")
        bitmap |= number
    return bitmap


@shown
@dataclass(frozen=True, slots=True, repr=False)
class Format:
    """What there is to know of a page-table format before one makes a table of it."""

    name: FormatName
    #: All page sizes, a bit each.
    page_sizes: Hex
    #: The widths that an iova may have, in bits.
    widths: tuple[int, ...]
    default_bits: int
    #: Bits of an address that a page can lead to.
    output_bits: int
    can_track_dirty: bool
    #: A part of a larger page can be unmapped by making it smaller ones.
    can_split: bool
    #: Levels that may be asked for; 0: the format leaves no choice.
    most_levels: int
    #: A table has pages of one size only.
    one_page_size: bool
    note: str


def formats() -> dict[FormatName, Format]:
    """All formats by their names."""
    return dict(_FORMATS)


# The order of a row is that of the class.
_FORMATS = {
    (name := cast(FormatName, row[0])): Format(name, row[1], tuple(row[2]), *row[3:])
    for row in _core.formats()
}


@shown
@dataclass(frozen=True, slots=True, repr=False)
class WalkStep:
    """One entry on the way from the root of a table to a page."""

    #: 0 is the level of the smallest pages.
    level: int
    #: Where the table is.
    table: Hex
    index: int
    #: The entry as the processor reads it.
    entry: Hex
    kind: Literal["nothing", "table", "page"]
    #: Of the table or of the page.
    address: Hex
    #: In bytes; 0 for what is no page.
    page_size: Hex
    #: `READ` and `WRITE` of a page.
    prot: int

    def __str__(self) -> str:
        text = f"level {self.level}: {self.table:#x}[{self.index}] = {self.entry:#018x}  "
        if self.kind == "nothing":
            return text + "nothing"
        if self.kind == "table":
            return f"{text}table at {self.address:#x}"
        rights = ("r" if self.prot & READ else "-") + ("w" if self.prot & WRITE else "-")
        return f"{text}page of {self.page_size:#x} at {self.address:#x} {rights}"


class Memory:
    """RAM that page tables lie in.

    `size` is a multiple of 64 KiB up to 32 GiB, of which the host gives only what is used; `start`
    its first address, a multiple of 1 GiB. `fragment` is the longest contiguous block in bytes, a
    power of two; 0 stands for no limit.
    """

    def __init__(self, size: int = 1 << 30, *, start: int = 1 << 30, fragment: int = 0) -> None:
        self._memory = _core.PhysicalMemory(
            bytes=_number("size", size),
            fragment=_number("fragment", fragment),
            start=_number("start", start),
        )

    @property
    def size(self) -> int:
        """In bytes."""
        return self._memory.bytes

    @property
    def used(self) -> int:
        """Bytes that tables hold now."""
        return self._memory.used_frames * 4096

    def read(self, address: int, size: int) -> bytes:
        """The bytes at a physical address, 1 MiB at most: what hardware would read of a table.

        EFAULT where there is no RAM.
        """
        return self._memory.read(_number("address", address), _number("size", size))


class Domain:
    """A page table of a format: `iommu_domain`, with `iommu_map()` and its like.

    `format` is a name of `formats()`. `pgsize_bitmap` are the page sizes that may be used, a bit
    each (see `pages()`); all of the format's if it is None. `bits` is the width of an iova,
    `levels` how many levels there are to begin with, for the formats that leave a choice.

    `dirty` lets pages say what was written to. `partial_unmap` is what becomes of a larger page
    that an unmap begins or ends in: it goes "whole"; it goes "whole_from_start", if the unmap
    begins with it; it is "split"; or the unmap ends before it ("refuse"). `overlap` is the errno
    of a map over a mapping.

    `memory` is where the tables lie; each domain has its own if it is None.
    """

    def __init__(
        self,
        format: FormatName,
        pgsize_bitmap: int | None = None,
        *,
        bits: int | None = None,
        levels: int | None = None,
        dirty: bool = False,
        partial_unmap: PartialUnmap = "whole",
        overlap: Overlap = "EEXIST",
        memory: Memory | None = None,
    ) -> None:
        if format not in _FORMATS:
            raise ValueError(f"format {format!r}: must be one of {', '.join(_FORMATS)}")
        if partial_unmap not in _PARTIAL_UNMAP:
            raise ValueError(
                f"partial_unmap {partial_unmap!r}: must be one of {', '.join(_PARTIAL_UNMAP)}"
            )
        if overlap not in _OVERLAP:
            raise ValueError(f"overlap {overlap!r}: must be one of {', '.join(_OVERLAP)}")
        if pgsize_bitmap == 0:
            raise ValueError("pgsize_bitmap is 0: a table without page sizes can map nothing")
        for name, value in (("bits", bits), ("levels", levels)):
            if value is not None and not 1 <= value <= _WORD:
                raise ValueError(f"{name} {value}: must be from 1 to {_WORD}")
        self.format = _FORMATS[format]
        self.memory = Memory() if memory is None else memory
        self._table = _core.PageTable(
            format=format,
            pgsize_bitmap=_number("pgsize_bitmap", pgsize_bitmap or 0),
            bits=bits or 0,
            levels=levels or 0,
            dirty_tracking=dirty,
            partial_unmap=_PARTIAL_UNMAP.index(partial_unmap),
            overlap=_OVERLAP[overlap],
            memory=self.memory._memory,
        )
        # The calls that matter are the core's own: nothing is in between.
        self._map = self._table.map
        self._unmap = self._table.unmap

    def __repr__(self) -> str:
        return f"Domain({self.format.name!r}, pgsize_bitmap={self.pgsize_bitmap:#x})"

    # --- ranges ---

    def map(self, iova: int, phys: int, size: int, prot: int = READ | WRITE) -> None:
        """Maps `size` bytes at `iova` to `phys`. Size 0 maps nothing.

        EINVAL when one of them is not a multiple of the smallest page, or `prot` neither reads nor
        writes; ERANGE beyond what the table or an entry can name; EEXIST (see `overlap`) over a
        mapping; ENOMEM. A refused map leaves nothing mapped (drivers/iommu/iommu.c: iommu_map).
        """
        self._map(iova, phys, size, prot)

    def unmap(self, iova: int, size: int) -> int:
        """Unmaps up to `size` bytes from `iova` on and answers the bytes that went.

        They are fewer where a hole ended it, more where a larger page went whole, and 0 when
        either is not a multiple of the smallest page (drivers/iommu/iommu.c: iommu_unmap).
        """
        return self._unmap(iova, size)

    def map_sg(self, iova: int, pieces: Iterable[tuple[int, int]], prot: int = READ | WRITE) -> int:
        """Maps pieces (phys, size) one behind the other from `iova` on: the bytes mapped.

        Pieces that follow each other in memory are mapped as one. Errors are those of `map()`, and
        then nothing is mapped (drivers/iommu/iommu.c: iommu_map_sg).
        """
        return self._table.map_sg(iova, pieces, prot)

    # --- many at once ---

    def map_batch(
        self,
        iovas: Numbers,
        phys: Numbers,
        size: int,
        prot: int = READ | WRITE,
    ) -> None:
        """Maps `size` bytes at each of `iovas` to its number in `phys`: all of them or none.

        Both are arrays of unsigned 64-bit numbers: array.array("Q"), numpy.uint64, a memoryview.
        Errors are those of `map()`; the exception's `index` says which one it was. Other threads
        run meanwhile.
        """
        self._table.map_batch(iovas, phys, size, prot)

    def unmap_batch(self, iovas: Numbers, size: int) -> int:
        """`unmap(iova, size)` of each: the sum of the bytes that went."""
        return self._table.unmap_batch(iovas, size)

    @overload
    def iova_to_phys_batch(self, iovas: Numbers, out: None = None) -> array.array[int]: ...
    @overload
    def iova_to_phys_batch(self, iovas: Numbers, out: _Out) -> _Out: ...
    def iova_to_phys_batch(self, iovas: Numbers, out: Numbers | None = None) -> Numbers:
        """`iova_to_phys()` of each, into `out`, which is returned, or a new array.array("Q")."""
        if out is None:
            out = array.array("Q", bytes(_numbers_in(iovas) * 8))
        self._table.iova_to_phys_batch(iovas, out)
        return out

    # --- what is there ---

    def iova_to_phys(self, iova: int) -> int:
        """Where an iova leads; 0: nowhere."""
        return self._table.iova_to_phys(iova)

    def translate(self, iova: int) -> tuple[int, int] | None:
        """Where an iova leads and what a device may do there; None: a fault."""
        return self._table.translate(iova)

    def walk(self, iova: int) -> list[WalkStep]:
        """The entries that hardware meets on its way to an iova, from the root on.

        It is empty for an iova that the table does not reach.
        """
        return [WalkStep(*step) for step in self._table.walk(iova)]

    @property
    def pgsize_bitmap(self) -> int:
        """Page sizes that can be mapped, a bit each."""
        return self._table.pgsize_bitmap

    @property
    def aperture(self) -> Range:
        """The iovas that can be translated."""
        return Range(*self._table.aperture)

    @property
    def table_bytes(self) -> int:
        """Bytes of page-table memory in use."""
        return self._table.table_bytes

    # --- what was written to ---

    def set_dirty_tracking(self, on: bool) -> None:
        """Makes the hardware mark pages that devices write to. EOPNOTSUPP: see `dirty`."""
        self._table.set_dirty_tracking(on)

    def note_write(self, iova: int) -> None:
        """A device writes to an iova: its page is marked, while that is tracked."""
        self._table.note_write(iova)

    def read_dirty(
        self, iova: int, size: int, *, page_size: int | None = None, clear: bool = True
    ) -> list[int]:
        """The pages of [iova, iova + size) that were written to, as iovas in rising order.

        They are counted in pages of `page_size`, the smallest of the domain if it is None; a larger
        page of the table is there with all its parts. With `clear` they are clean afterwards.
        EOPNOTSUPP: see `dirty`; EINVAL while nothing is tracked.
        """
        unit = self.pgsize_bitmap & -self.pgsize_bitmap if page_size is None else page_size
        if unit <= 0 or unit & (unit - 1):
            raise ValueError(f"page_size {unit:#x}: must be a power of two")
        if size <= 0 or not 0 <= iova <= iova + size - 1 < 1 << _WORD:
            raise ValueError(f"{size:#x} bytes at {iova:#x} are no range of 64-bit addresses")
        count = (size + unit - 1) // unit
        if count > _MOST_DIRTY_BITS:
            raise ValueError(f"{count} pages at once: {_MOST_DIRTY_BITS} at most")
        words = array.array("Q", bytes(8 * ((count + _WORD - 1) // _WORD)))
        self._table.read_dirty(iova, iova + size - 1, unit, clear, words)
        return [
            iova + (at * _WORD + bit) * unit
            for at, word in enumerate(words)
            if word
            for bit in range(_WORD)
            if word >> bit & 1 and at * _WORD + bit < count
        ]

    # --- failures to be tried ---

    def fail_nth(self, nth: int) -> None:
        """Makes the `nth` allocation of a table from now on fail with ENOMEM; 0: none."""
        self._table.fail_nth(nth)


def _numbers_in(array_like: Numbers) -> int:
    """How many, if they are as they should be; what is wrong with others the core says."""
    try:
        return memoryview(cast("Buffer", array_like)).nbytes // 8
    except TypeError:
        return 0


def _number(name: str, value: int) -> int:
    return fit(name, value, 0, (1 << _WORD) - 1)
