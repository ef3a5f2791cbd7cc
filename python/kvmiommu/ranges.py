# SPDX-License-Identifier: MIT
"""Ranges of addresses, both ends included."""

from __future__ import annotations

from operator import index
from typing import NamedTuple, Self, SupportsIndex

from .uapi._show import Printer

__all__ = ["Range"]


class _Pair(NamedTuple):
    start: int
    last: int


class Range(_Pair):
    """The addresses from `start` to `last`, in bytes, both included.

    It is a tuple of the two: `start, last = each`, and equal to `(start, last)`. An address is `in`
    it as `contains` says.

    TypeError: not integers. ValueError: `last` is before `start`, for no range is empty.
    """

    __slots__ = ()

    def __new__(cls, start: SupportsIndex, last: SupportsIndex) -> Self:
        try:
            first, final = index(start), index(last)
        except TypeError:
            raise TypeError(f"a range from {start!r} to {last!r}: must be integers") from None
        if final < first:
            raise ValueError(f"a range from {first:#x} to {final:#x}: it has one address at least")
        return super().__new__(cls, first, final)

    @classmethod
    def from_size(cls, start: int, size: int) -> Range:
        """`size` bytes from `start` on. ValueError: no bytes at all, for no range is empty."""
        if size <= 0:
            raise ValueError(f"a range of {size} bytes from {start:#x} on: it has one at least")
        return cls(start, start + size - 1)

    @property
    def size(self) -> int:
        """In bytes."""
        return self.last - self.start + 1

    def contains(self, other: SupportsIndex | tuple[int, int]) -> bool:
        """Whether an address, or the whole of another range, is in this one."""
        start, last = Range(*other) if isinstance(other, tuple) else Range(other, other)
        return self.start <= start and last <= self.last

    def __contains__(self, other: object) -> bool:
        return self.contains(other)  # type: ignore[arg-type]

    def overlaps(self, other: tuple[int, int]) -> bool:
        """Whether the two have an address in common."""
        start, last = Range(*other)
        return self.start <= last and start <= self.last

    def intersection(self, other: tuple[int, int]) -> Range | None:
        """The addresses that both have; None where there are none."""
        if not self.overlaps(other):
            return None
        start, last = other
        return Range(max(self.start, start), min(self.last, last))

    def __str__(self) -> str:
        return f"{self.start:#x}-{self.last:#x}"

    def __repr__(self) -> str:
        return f"Range({self.start:#x}, {self.last:#x})"

    def _repr_pretty_(self, printer: Printer, cycle: bool) -> None:
        printer.text(repr(self))
