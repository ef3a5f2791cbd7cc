# SPDX-License-Identifier: MIT
"""Ranges of addresses, both ends included."""

from __future__ import annotations

from typing import NamedTuple

from .uapi._show import Printer

__all__ = ["Range"]


class Range(NamedTuple):
    """The addresses from `start` to `last`, in bytes, both included.

    It is a tuple of the two: `start, last = each`, and equal to `(start, last)`.
    """

    start: int
    last: int

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

    def contains(self, other: int | tuple[int, int]) -> bool:
        """Whether an address, or the whole of another range, is in this one."""
        start, last = (other, other) if isinstance(other, int) else other
        return self.start <= start <= last <= self.last

    def overlaps(self, other: tuple[int, int]) -> bool:
        """Whether the two have an address in common."""
        start, last = other
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
