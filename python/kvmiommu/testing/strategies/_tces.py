# SPDX-License-Identifier: MIT
"""Programs of a POWER guest's TCE hypercalls on one table."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from hypothesis import strategies as st

from kvmiommu.uapi.papr import H_GET_TCE, H_PUT_TCE, H_PUT_TCE_INDIRECT, H_STUFF_TCE

from ._arguments import at_least
from ._shown import Shown

__all__ = ["TceCall", "tce_calls", "tce_programs"]

_NAMES = {
    H_PUT_TCE: "H_PUT_TCE",
    H_GET_TCE: "H_GET_TCE",
    H_STUFF_TCE: "H_STUFF_TCE",
    H_PUT_TCE_INDIRECT: "H_PUT_TCE_INDIRECT",
}
_RIGHTS = ("-", "r", "w", "rw")


@dataclass(frozen=True, slots=True, repr=False)
class TceCall(Shown):
    """A hypercall: `page` counts pages of the table from its start, `skew` is added to the address.

    `tces` are pairs: a page of the guest's memory, counted in pages of the table, and the rights,
    1 to read and 2 to write. H_PUT_TCE has one, H_STUFF_TCE as many as it fills (all the same),
    H_PUT_TCE_INDIRECT as many as its list is long, H_GET_TCE none.
    """

    number: int
    page: int
    skew: int = 0
    tces: tuple[tuple[int, int], ...] = ()

    def values(self, page_shift: int) -> list[int]:
        """The TCEs as numbers."""
        return [guest << page_shift | rights for guest, rights in self.tces]

    def list_bytes(self, page_shift: int) -> bytes:
        """What H_PUT_TCE_INDIRECT finds in the guest's memory: big endian, as TCEs are."""
        return struct.pack(f">{len(self.tces)}Q", *self.values(page_shift))

    def arguments(self, liobn: int, start: int, page_shift: int, list_at: int) -> tuple[int, ...]:
        """The hypercall's arguments, for a table whose first page is bus address `start`; the list
        of H_PUT_TCE_INDIRECT is at guest address `list_at`."""
        ioba = start + (self.page << page_shift) + self.skew
        if self.number == H_GET_TCE:
            return liobn, ioba
        if self.number == H_PUT_TCE_INDIRECT:
            return liobn, ioba, list_at, len(self.tces)
        if self.number == H_STUFF_TCE:
            value = self.values(page_shift)[0] if self.tces else 0
            return liobn, ioba, value, len(self.tces)
        return liobn, ioba, *self.values(page_shift)

    def __repr__(self) -> str:
        skew = f" + {self.skew:#x}" if self.skew else ""
        tces = [f"{guest:#x} {_RIGHTS[rights]}" for guest, rights in self.tces]
        if self.number == H_STUFF_TCE:
            tces = [f"{tces[0]} x {len(tces)}" if tces else "nothing"]
        elif self.number == H_PUT_TCE_INDIRECT:
            tces = [f"[{', '.join(tces)}]"]
        return f"<{_NAMES[self.number]}: {', '.join((f'page {self.page:#x}{skew}', *tces))}>"


def tce_calls(
    pages: int = 64, *, frames: int = 16, most_tces: int = 8, misaligned: bool = True
) -> st.SearchStrategy[TceCall]:
    """Hypercalls on a table of `pages` pages, for a guest with `frames` pages of memory, in pages
    of the table. Some meet the table's end; with `misaligned` some address no start of a page.
    Shrinks to a call at page 0, without rights."""
    at_least("pages", pages, 1)
    at_least("frames", frames, 1)
    at_least("most_tces", most_tces, 0)
    page = st.one_of(
        st.integers(0, min(3, pages - 1)),
        st.integers(0, pages - 1),
        st.integers(max(pages - 2, 0), pages + 1),
    )
    skew = st.sampled_from((0, 0, 0, 0, 8)) if misaligned else st.just(0)
    tce = st.tuples(st.integers(0, frames - 1), st.sampled_from((0, 3, 1, 2)))
    lists = st.lists(tce, max_size=most_tces).map(tuple)
    stuffed = st.integers(0, most_tces).map(lambda count: ((0, 0),) * count)
    return st.one_of(
        st.builds(TceCall, st.just(H_PUT_TCE), page, skew, st.tuples(tce)),
        st.builds(TceCall, st.just(H_GET_TCE), page, skew),
        st.builds(TceCall, st.just(H_STUFF_TCE), page, skew, stuffed),
        st.builds(TceCall, st.just(H_PUT_TCE_INDIRECT), page, skew, lists),
    )


def tce_programs(
    pages: int = 64,
    *,
    frames: int = 16,
    most_tces: int = 8,
    misaligned: bool = True,
    most_calls: int = 20,
) -> st.SearchStrategy[list[TceCall]]:
    """Programs of up to `most_calls` such hypercalls. Shrinks to few calls near page 0."""
    calls = tce_calls(pages, frames=frames, most_tces=most_tces, misaligned=misaligned)
    return st.lists(calls, max_size=at_least("most_calls", most_calls, 0))
