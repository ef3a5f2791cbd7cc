# SPDX-License-Identifier: MIT
"""A range of I/O virtual addresses."""

from __future__ import annotations

from typing import NamedTuple, Protocol

__all__ = ["IovaRange", "Printer"]


class Printer(Protocol):
    """What IPython and Hypothesis give to `_repr_pretty_`."""

    def text(self, text: str, /) -> None: ...


class IovaRange(NamedTuple):
    """The iovas from `start` to `last`, in bytes, both included."""

    start: int
    last: int

    @property
    def size(self) -> int:
        """In bytes."""
        return self.last - self.start + 1

    def __repr__(self) -> str:
        return f"IovaRange({self.start:#x}, {self.last:#x})"

    def _repr_pretty_(self, printer: Printer, cycle: bool) -> None:
        printer.text(repr(self))
