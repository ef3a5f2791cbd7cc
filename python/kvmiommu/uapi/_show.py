# SPDX-License-Identifier: MIT
"""How a field of a structure is shown: as strace does, with the names that its number has.

A field's annotation says which constants its value is made of: `Flags`, bits that are joined by
`|`, or `Choice`, one of several. The names are those of the module that has the structure. All
other numbers of 64 bits are hex, as addresses, sizes and bitmaps are; what is signed, descriptors
above all, is decimal, and so are shorter numbers that are not part of an address.
"""

from __future__ import annotations

import ctypes
import inspect
import sys
from collections.abc import Hashable, Iterable, Mapping
from fnmatch import fnmatchcase
from functools import cache
from typing import Any, Protocol, cast, get_args

__all__ = ["Choice", "Flags", "Printer", "fields_text", "quoted"]

_HEX_WORDS = {"addr", "address", "mask", "iova", "offset"}
_HEX_NAMES = ("dma32_window_start", "dma32_window_size", "window_size")
_LONGEST_STRING = 32


class Printer(Protocol):
    """What IPython and Hypothesis hand to `_repr_pretty_`."""

    def text(self, text: str, /) -> None: ...


class _Named:
    """Constants by patterns of their names: `VFIO_DMA_MAP_FLAG_*`."""

    def __init__(self, *patterns: str, without: str = "") -> None:
        self.patterns = patterns
        self.without = without
        # What names() found last, and among what: a module's constants stay the same.
        self._found: tuple[Mapping[str, object], dict[int, str]] | None = None

    def names(self, constants: Mapping[str, object]) -> dict[int, str]:
        """The constants by their values. Where two are alike the first one counts."""
        found = self._found
        if found is None or found[0] is not constants:
            found = self._found = (constants, self._search(constants))
        return found[1]

    def _search(self, constants: Mapping[str, object]) -> dict[int, str]:
        names: dict[int, str] = {}
        for name, value in constants.items():
            # type(), for a request is an int, too
            if type(value) is int and self._has(name):
                names.setdefault(value, name)
        return names

    def _has(self, name: str) -> bool:
        wanted = any(fnmatchcase(name, each) for each in self.patterns)
        return wanted and not fnmatchcase(name, self.without)

    def unknown(self, value: int) -> str:
        """A number without a name, as strace shows one."""
        return f"{value:#x} /* {self.patterns[0].replace('*', '')}??? */"

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(map(repr, self.patterns))})"


class Flags(_Named):
    """Bits, each with a name, and bits without one in hex: `VFIO_DMA_MAP_FLAG_READ|0x40`.

    Beside them the bits of `mask` may hold one of the constants of `value`.
    """

    def __init__(self, *patterns: str, value: Choice | None = None, mask: int = 0) -> None:
        super().__init__(*patterns)
        self.value = value
        self.mask = mask

    def text(self, value: int, constants: Mapping[str, object]) -> str:
        if value == 0 and not self.mask:
            return "0"
        names = self.names(constants)
        parts = []
        left = value & ~self.mask
        for bit, name in names.items():
            if bit > 0 and bit & (bit - 1) == 0 and left & bit:
                parts.append(name)
                left &= ~bit
        if self.value is not None:
            parts.append(self.value.text(value & self.mask, constants))
        if not parts:
            return self.unknown(left)
        return "|".join([*parts, f"{left:#x}"] if left else parts)


class Choice(_Named):
    """One of several constants."""

    def text(self, value: int, constants: Mapping[str, object]) -> str:
        name = self.names(constants).get(value)
        return self.unknown(value) if name is None else name


def quoted(data: bytes, most: int = _LONGEST_STRING) -> str:
    """Bytes as strace shows them: text in quotes, the rest as escapes, `...` where it is cut."""
    shown = data[:most]
    text = "".join(
        chr(byte) if 32 <= byte < 127 and chr(byte) not in '"\\' else f"\\x{byte:02x}"
        for byte in shown
    )
    return f'"{text}"' + ("..." if len(data) > most else "")


@cache
def _ways(kind: Hashable) -> dict[str, Flags | Choice]:
    """The fields of a structure that are made of constants."""
    found: dict[str, Flags | Choice] = {}
    for name, annotation in inspect.get_annotations(cast("type[Any]", kind)).items():
        for each in get_args(annotation)[1:]:
            if isinstance(each, Flags | Choice):
                found[name] = each
    return found


def _constants(kind: type[Any]) -> Mapping[str, object]:
    return vars(sys.modules[kind.__module__])


def _is_hex(name: str, kind: type[Any]) -> bool:
    if kind(-1).value < 0:
        return False
    if ctypes.sizeof(kind) == 8 or name in _HEX_NAMES:
        return True
    return not _HEX_WORDS.isdisjoint(name.split("_"))


def _value(owner: type[Any], name: str, kind: type[Any], value: Any) -> str:
    if isinstance(value, ctypes.Array):
        if not any(value):
            return "[]" if len(value) == 0 else f"[0, ...{len(value)} times]"
        element = value._type_
        return f"[{', '.join(_value(owner, name, element, each) for each in value)}]"
    if isinstance(value, ctypes.Structure | ctypes.Union):
        return "{" + ", ".join(fields_text(value)) + "}"
    if not isinstance(value, int):
        return repr(value)
    way = _ways(cast("Hashable", owner)).get(name)
    if way is not None:
        return way.text(value, _constants(owner))
    if value and _is_hex(name, kind):
        return f"{value:#x}"
    return str(value)


def _is_filler(name: str, value: Any) -> bool:
    """Space that is kept free, and is so."""
    bare = name.strip("_")
    if not bare.startswith(("reserved", "pad", "resv")):
        return False
    return not any(value) if isinstance(value, ctypes.Array) else value == 0


def fields_text(
    structure: ctypes.Structure | ctypes.Union,
    before: ctypes.Structure | ctypes.Union | None = None,
) -> list[str]:
    """`name=value` of each field, `name=old => new` where `before` has another value.

    Reserved space is left out while it is zero. Of an unnamed union all members are shown that
    differ in their bytes.
    """
    owner = type(structure)
    parts: list[str] = []
    for name, kind in _members(owner, structure):
        value = getattr(structure, name)
        text = _value(owner, name, kind, value)
        old = text if before is None else _value(owner, name, kind, getattr(before, name))
        if _is_filler(name, value) and old == text:
            continue
        parts.append(f"{name}={text}" if old == text else f"{name}={old} => {text}")
    return parts


def _selected(structure: Any) -> str:
    """The member of an unnamed union that counts: KVM_EXIT_MMIO selects `mmio`."""
    way = _ways(cast("Hashable", type(structure))).get("exit_reason")
    if way is None:
        return ""
    name = way.text(structure.exit_reason, _constants(type(structure)))
    return name.removeprefix("KVM_EXIT_").lower()


def _members(owner: type[Any], structure: Any) -> Iterable[tuple[str, type[Any]]]:
    anonymous = getattr(owner, "_anonymous_", ())
    fields: Iterable[Any] = owner._fields_
    for name, kind, *_ in fields:
        if name not in anonymous:
            yield name, kind
            continue
        seen = set()
        for inner, inner_kind in kind._fields_:
            # Two names for the same number are one: the first, unless that is padding.
            if inner.startswith("pad") or inner_kind in seen:
                continue
            one_of_many = issubclass(inner_kind, ctypes.Structure) and len(kind._fields_) > 1
            if one_of_many and inner != _selected(structure):
                continue
            seen.add(inner_kind)
            yield inner, inner_kind
