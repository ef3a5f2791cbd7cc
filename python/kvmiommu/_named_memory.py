# SPDX-License-Identifier: MIT
"""Names for the addresses of what a process has mapped, for a transcript of its calls.

A mapping keeps its name for what is left of it when others are put over a part of it, or a part is
unmapped: an address is the name and the distance from where the mapping began.
"""

from __future__ import annotations

import bisect
import threading
from dataclasses import dataclass

__all__ = ["NamedMemory"]


@dataclass(frozen=True, slots=True)
class _Piece:
    """What is left of a mapping from one address to another, `end` excluded."""

    start: int
    end: int
    name: str
    base: int  # where the mapping began


class NamedMemory:
    """Any number of threads may call it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._pieces: list[_Piece] = []  # none overlaps another, in ascending order

    def add(self, start: int, length: int, name: str) -> None:
        """A mapping, in the place of what is there."""
        with self._lock:
            self._cut(start, start + length)
            piece = _Piece(start, start + length, name, start)
            bisect.insort(self._pieces, piece, key=lambda each: each.start)

    def remove(self, start: int, length: int) -> None:
        """Nothing is mapped there any more."""
        with self._lock:
            self._cut(start, start + length)

    def _cut(self, start: int, end: int) -> None:
        first = bisect.bisect_right(self._pieces, start, key=lambda each: each.end)
        last = bisect.bisect_left(self._pieces, end, key=lambda each: each.start)
        left = []
        for each in self._pieces[first:last]:
            if each.start < start:
                left.append(_Piece(each.start, start, each.name, each.base))
            if each.end > end:
                left.append(_Piece(end, each.end, each.name, each.base))
        self._pieces[first:last] = left

    def symbol(self, address: int) -> str | None:
        """The address as a name, where it is in a mapping or right behind one."""
        with self._lock:
            return self._symbol(address)

    def _symbol(self, address: int) -> str | None:
        at = bisect.bisect_right(self._pieces, address, key=lambda each: each.start) - 1
        if at < 0 or address > self._pieces[at].end:
            return None
        offset = address - self._pieces[at].base
        return f"{self._pieces[at].name}+{offset:#x}" if offset else self._pieces[at].name

    def symbols(self, data: bytes) -> list[tuple[int, int, str]]:
        """The aligned words of 64 bits that are such addresses: offset, value and name."""
        with self._lock:
            if not self._pieces:
                return []
            low, high = self._pieces[0].start, self._pieces[-1].end
            words = memoryview(data)[: len(data) // 8 * 8].cast("Q")
            return [
                (8 * at, word, symbol)
                for at, word in enumerate(words)
                if low <= word <= high and (symbol := self._symbol(word)) is not None
            ]
