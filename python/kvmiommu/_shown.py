# SPDX-License-Identifier: MIT
"""Dataclasses whose addresses, sizes and bitmaps are shown in hex.

    @shown
    @dataclass(frozen=True, slots=True, repr=False)
    class Format:
        name: str
        page_sizes: Hex

`Hex` is an int for type checkers; `shown` makes `__repr__`, and `_repr_pretty_`, which Hypothesis
and IPython use.
"""

from __future__ import annotations

import re
from dataclasses import fields
from typing import Any, TypeAlias, TypeVar

from .uapi._show import Printer

__all__ = ["Hex", "Printer", "hexed", "shown"]

#: An address, a size in bytes or a bitmap.
Hex: TypeAlias = int

_Class = TypeVar("_Class", bound=type[Any])
_MARK = re.compile(r"\bHex\b")


def hexed(value: object) -> str:
    """A number in hex, 0 as it is; so the numbers in a tuple, a list or a dictionary."""
    match value:
        case bool() | None:
            return repr(value)
        case int():
            return f"{value:#x}" if value else "0"
        case tuple() if type(value) is tuple:
            inside = ", ".join(map(hexed, value))
            return f"({inside},)" if len(value) == 1 else f"({inside})"
        case list():
            return f"[{', '.join(map(hexed, value))}]"
        case dict():
            return f"{{{', '.join(f'{hexed(key)}: {hexed(each)}' for key, each in value.items())}}}"
    return repr(value)


def shown(cls: _Class) -> _Class:
    """A dataclass or a named tuple whose fields of the type `Hex` are shown in hex.

    Its module postpones annotations, which are therefore texts.
    """
    marked = {name for name, text in cls.__annotations__.items() if _MARK.search(text)}
    dataclass = hasattr(cls, "__dataclass_fields__")
    names = tuple(each.name for each in fields(cls)) if dataclass else tuple(cls._fields)

    def show(self: Any) -> str:
        parts = []
        for name in names:
            value = getattr(self, name)
            parts.append(f"{name}={hexed(value) if name in marked else repr(value)}")
        return f"{type(self).__qualname__}({', '.join(parts)})"

    def show_pretty(self: Any, printer: Printer, cycle: bool) -> None:
        printer.text(repr(self))

    shown_class: Any = cls
    shown_class.__repr__ = show
    shown_class._repr_pretty_ = show_pretty
    return cls
