# SPDX-License-Identifier: MIT
"""Hypothesis prints what it has drawn by a way of its own; here it is the repr."""

from __future__ import annotations

from typing import Protocol

__all__ = ["Shown"]


class _Printer(Protocol):
    def text(self, text: str) -> object: ...


class Shown:
    __slots__ = ()

    def _repr_pretty_(self, printer: _Printer, _cycle: bool) -> None:
        printer.text(repr(self))
