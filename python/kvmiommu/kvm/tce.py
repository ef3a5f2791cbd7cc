# SPDX-License-Identifier: MIT
"""The table of translation control entries that a POWER guest sees for a bus."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, NamedTuple

from .. import uapi
from .._shown import Hex, shown
from ..descriptor import Descriptor
from ..uapi import posix

if TYPE_CHECKING:
    from ..process import Process

__all__ = ["TceState", "TceTable"]

_p = uapi.papr
_RIGHTS = _p.TCE_PCI_READ | _p.TCE_PCI_WRITE


class TceTable(Descriptor):
    """The TCEs that a guest sees for one bus: its descriptor can be mapped, and nothing else.

    `size` pages of 2**page_shift bytes from page `offset` on; `VM.create_spapr_tce` makes one.
    """

    def __init__(
        self, process: Process, fd: int, liobn: int, *, page_shift: int, offset: int, size: int
    ) -> None:
        super().__init__(process, fd)
        self.liobn = liobn
        self.page_shift = page_shift
        self.offset = offset
        self.size = size

    def entries(self) -> tuple[int, ...]:
        """All entries, as the guest wrote them: a guest address and rights.

        OSError ENOMEM: no user addresses are left to map the table.
        """
        length = 8 * self.size
        address = self.process.mmap(length, posix.PROT_READ, posix.MAP_SHARED, self.fd)
        try:
            return struct.unpack(f"<{self.size}Q", self.process.peek(address, length))
        finally:
            self.process.munmap(address, length)

    def __repr__(self) -> str:
        return (
            f"<TceTable of bus {self.liobn:#x}: {self.size:#x} pages of 2^{self.page_shift} bytes "
            f"from page {self.offset:#x} on, {self._number()}>"
        )


@shown
class TceState(NamedTuple):
    """The table of a bus: `size` pages of 2**page_shift bytes from page `offset` on.

    `group` is the IOMMU group that the bus is linked to, None where KVM keeps the table. `entries`
    are those that are not 0, by their pages: what the guest wrote, or what the group's hardware
    has.
    """

    liobn: Hex
    group: int | None
    page_shift: int
    offset: Hex
    size: Hex
    entries: dict[Hex, Hex]

    def __str__(self) -> str:
        whose = "KVM's own" if self.group is None else f"of group {self.group}"
        lines = [
            f"bus {self.liobn:x}: a table {whose}, {self.size:#x} pages of 2^{self.page_shift} "
            f"bytes from page {self.offset:#x} on"
        ]
        for page, tce in self.entries.items():
            rights = ("r" if tce & _p.TCE_PCI_READ else "-") + (
                "w" if tce & _p.TCE_PCI_WRITE else "-"
            )
            lines.append(f"  {page << self.page_shift:016x} {rights} {tce & ~_RIGHTS:016x}")
        return "\n".join(lines)
