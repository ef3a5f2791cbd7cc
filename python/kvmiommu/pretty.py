# SPDX-License-Identifier: MIT
"""How IPython and Hypothesis show objects: as `repr` does, with addresses and sizes in hex."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

__all__ = ["PrettyAsRepr", "tuple_of"]


class Printer(Protocol):
    """What IPython and Hypothesis give to `_repr_pretty_`."""

    def text(self, text: str, /) -> None: ...


class PrettyAsRepr:
    """Both print dataclasses field by field, unless these say otherwise."""

    __slots__ = ()

    def _repr_pretty_(self, printer: Printer, cycle: bool) -> None:
        printer.text(repr(self))


def tuple_of(texts: Sequence[str]) -> str:
    """A tuple as `repr` writes it, of elements that are written already."""
    return f"({texts[0]},)" if len(texts) == 1 else f"({', '.join(texts)})"
