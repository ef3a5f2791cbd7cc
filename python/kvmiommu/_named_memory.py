# SPDX-License-Identifier: MIT
"""Names for the addresses of what a process has mapped, for a transcript of its calls.

A mapping keeps its name for what is left of it when others are put over a part of it: an address is
the name and the distance from where the mapping began. What was unmapped keeps the name, too, until
something else is mapped there.
"""

from __future__ import annotations

import bisect
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

__all__ = ["NamedMemory"]


@dataclass(frozen=True, slots=True)
class _Piece:
    """What is left of a mapping from one address to another, `end` excluded."""

    start: int
    end: int
    name: str
    base: int  # where the mapping began


class _Pieces:
    """Pieces of mappings: none overlaps another, in ascending order."""

    def __init__(self) -> None:
        self.all: list[_Piece] = []

    def add(self, pieces: Iterable[_Piece]) -> None:
        for piece in pieces:
            self.cut(piece.start, piece.end)
            bisect.insort(self.all, piece, key=lambda each: each.start)

    def cut(self, start: int, end: int) -> list[_Piece]:
        """Takes out what is there."""
        if start >= end:
            return []
        first = bisect.bisect_right(self.all, start, key=lambda each: each.end)
        last = bisect.bisect_left(self.all, end, key=lambda each: each.start)
        left, taken = [], []
        for each in self.all[first:last]:
            if each.start < start:
                left.append(replace(each, end=start))
            if each.end > end:
                left.append(replace(each, start=end))
            taken.append(replace(each, start=max(each.start, start), end=min(each.end, end)))
        self.all[first:last] = left
        return taken

    def at(self, address: int) -> _Piece | None:
        """The piece that it is in or right behind."""
        at = bisect.bisect_right(self.all, address, key=lambda each: each.start) - 1
        return None if at < 0 or address > self.all[at].end else self.all[at]


class NamedMemory:
    """Any number of threads may call it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._mapped = _Pieces()
        self._unmapped = _Pieces()

    def add(self, start: int, length: int, name: str) -> None:
        """A mapping, in the place of what is there."""
        with self._lock:
            self._unmapped.cut(start, start + length)
            self._mapped.add([_Piece(start, start + length, name, start)])

    @contextmanager
    def removing(self, start: int, length: int) -> Iterator[None]:
        """Nothing is mapped there any more, unless the block raises. What is mapped there in
        between, by another thread, stays."""
        with self._lock:
            taken = self._mapped.cut(start, start + length)
            self._unmapped.add(taken)
        try:
            yield
        except BaseException:
            with self._lock:
                since = self._mapped.cut(start, start + length)
                for piece in taken:
                    self._unmapped.cut(piece.start, piece.end)
                self._mapped.add(taken)
                self._mapped.add(since)
            raise

    def symbol(self, address: int) -> str | None:
        """The address as a name, where it is in a mapping or right behind one, or was."""
        with self._lock:
            return self._symbol(address)

    def _symbol(self, address: int) -> str | None:
        piece = self._mapped.at(address) or self._unmapped.at(address)
        if piece is None:
            return None
        offset = address - piece.base
        return f"{piece.name}+{offset:#x}" if offset else piece.name

    def symbols(self, data: bytes) -> list[tuple[int, int, str]]:
        """The aligned words of 64 bits that are such addresses: offset, value and name."""
        with self._lock:
            ends = [(each.all[0].start, each.all[-1].end) for each in self._both() if each.all]
            if not ends:
                return []
            low, high = min(start for start, _ in ends), max(end for _, end in ends)
            words = memoryview(data)[: len(data) // 8 * 8].cast("Q")
            return [
                (8 * at, word, symbol)
                for at, word in enumerate(words)
                if low <= word <= high and (symbol := self._symbol(word)) is not None
            ]

    def _both(self) -> tuple[_Pieces, _Pieces]:
        return self._mapped, self._unmapped
