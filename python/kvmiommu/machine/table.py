# SPDX-License-Identifier: MIT
"""Reading TOML tables key by key, and noting every mistake instead of stopping at the first."""

from __future__ import annotations

import enum
import re
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from .mistakes import MachineError, Mistake, nearest
from .positions import Path
from .sizes import size_of

__all__ = ["Kind", "Report", "Table", "shown"]

_T = TypeVar("_T")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
_WIDEST = 4096
_LARGEST_DECIMAL = (1 << 32) - 1
_SIZE_HELP = "a size: '4K', '2M', '1G' or bytes"


class Kind(enum.IntEnum):
    """The order in which mistakes are reported: a misspelt key explains a missing one."""

    UNKNOWN = 0
    WRONG = 1
    MISSING = 2


@dataclass(slots=True)
class _Noted:
    kind: Kind
    path: Path
    found: str
    expected: str
    suggestion: str | None


class Report:
    """The mistakes of one description.

    `lines` is asked for places only if there are any; None where there is no text.
    """

    def __init__(self, source: str, lines: Callable[[], Mapping[Path, int | None]] | None) -> None:
        self._source = source
        self._lines = lines
        self._noted: list[_Noted] = []

    def note(
        self, kind: Kind, path: Path, found: str, expected: str, suggestion: str | None = None
    ) -> None:
        self._noted.append(_Noted(kind, path, found, expected, suggestion))

    def raise_mistakes(self) -> None:
        """Raises MachineError if anything was noted."""
        if not self._noted:
            return
        lines = None if self._lines is None else self._lines()
        places = [(each, _line(lines, each.path)) for each in self._noted]
        places.sort(key=lambda place: (place[0].kind, place[1] or 0))
        raise MachineError(
            [
                Mistake(
                    self._source,
                    line,
                    key_text(each.path),
                    each.found,
                    each.expected,
                    each.suggestion,
                )
                for each, line in places
            ]
        )


def _line(lines: Mapping[Path, int | None] | None, path: Path) -> int | None:
    """The line of a place, or of what it is in; 1 where that is the file itself."""
    if lines is None:
        return None
    while path and path not in lines:
        path = path[:-1]
    return lines.get(path, 1)


def key_text(path: Path) -> str:
    """A place as an error shows it: `iommu[0].driver`, `options."iommu.strict"`."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            word = part if _BARE_KEY.fullmatch(part) else f'"{part}"'
            text += f".{word}" if text else word
    return text


def shown(value: object) -> str:
    """A TOML value as an error shows it."""
    match value:
        case bool():
            return "true" if value else "false"
        case int() if abs(value) >> _WIDEST:  # Python refuses to write it in decimal
            return f"a number of {value.bit_length()} bits"
        case str():
            return f"'{value}'"
        case dict():
            return "a table"
        case list():
            return f"[{', '.join(shown(item) for item in value)}]"
        case _:
            return str(value)


class Table:
    """A table of the file. Each method takes one key and returns a value that is always right.

    What is missing or wrong is noted, and something harmless stands in for it; `good` says whether
    keys have values of their own that other rules may look at. `done` notes unknown keys.
    """

    def __init__(self, report: Report, path: Path, data: Mapping[str, object]) -> None:
        self._report = report
        self._path = path
        self._data = data
        self._known: set[str] = set()
        self._bad: set[str] = set()
        self._missing: dict[str, str] = {}

    def key(self, key: str) -> str:
        """The key's path in the file, as text."""
        return key_text((*self._path, key))

    def good(self, *keys: str) -> bool:
        """Whether nothing was wrong with these keys so far."""
        return self._bad.isdisjoint(keys)

    def wrong(
        self,
        key: str,
        expected: str,
        *,
        found: str | None = None,
        item: int | None = None,
        suggestion: str | None = None,
    ) -> None:
        """Notes that the value of a key, or one item of it, is wrong."""
        self._bad.add(key)
        path: Path = (*self._path, key) if item is None else (*self._path, key, item)
        if found is None:
            value = self._data.get(key)
            if item is not None and isinstance(value, list):
                value = value[item]
            found = shown(value)
        self._report.note(Kind.WRONG, path, found, expected, suggestion)

    def missing(self, key: str, expected: str) -> None:
        """Notes that a key is missing."""
        self._bad.add(key)
        self._missing.setdefault(key, expected)

    def has(self, key: str) -> bool:
        """Whether the key is there; from here on it counts as known."""
        self._known.add(key)
        return key in self._data

    def done(self) -> None:
        """Notes keys that are left over, then those missing that none of them was meant for."""
        meant = set()
        for key in self._data:
            if key not in self._known:
                suggestion = nearest(key, self._known - self._data.keys()) or nearest(
                    key, self._known
                )
                meant.add(suggestion)
                expected = f"one of {', '.join(sorted(self._known))}"
                self._report.note(
                    Kind.UNKNOWN, (*self._path, key), "an unknown key", expected, suggestion
                )
        for key, expected in self._missing.items():
            if key not in meant:
                self._report.note(Kind.MISSING, (*self._path, key), "nothing", expected)

    # -- values

    def _take(self, key: str, kind: type[_T], expected: str) -> _T | None:
        if not self.has(key):
            self.missing(key, expected)
            return None
        value = self._data[key]
        # bool is an int to Python, not to TOML
        if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
            self.wrong(key, expected)
            return None
        return value

    def string(self, key: str, expected: str, default: str | None = None) -> str:
        if default is not None and not self.has(key):
            return default
        return self._take(key, str, expected) or ""

    def name(self, key: str, what: str = "a name", default: str | None = None) -> str:
        """A string of letters, digits, '_', '.' and '-'; it may be empty where the default is."""
        expected = f"{what}: letters, digits, '_', '.' and '-'"
        name = self.string(key, expected, default)
        if name != default and self.good(key) and not _NAME.fullmatch(name):
            self.wrong(key, expected)
        return name

    def choice(self, key: str, choices: Collection[str], default: str | None = None) -> str:
        some = ", ".join(f"'{choice}'" for choice in choices)
        expected = f"one of {some}" if len(choices) > 1 else f"{some}, the only one that is known"
        value = self.string(key, expected, default)
        if self.good(key) and value not in choices:
            self.wrong(key, expected, suggestion=nearest(value, choices))
        return value if self.good(key) else next(iter(choices))

    def choices(self, key: str, choices: Collection[str]) -> tuple[str, ...]:
        """A list of different choices; empty where the key is absent."""
        some = ", ".join(f"'{choice}'" for choice in choices)
        expected = f"a list of different names ({some})"
        if not self.has(key):
            return ()
        values = self._take(key, list, expected) or []
        for at, value in enumerate(values):
            if not isinstance(value, str) or value not in choices or value in values[:at]:
                self.wrong(key, expected, item=at, suggestion=nearest(str(value), choices))
        return tuple(values) if self.good(key) else ()

    def boolean(self, key: str, default: bool) -> bool:
        if not self.has(key):
            return default
        value = self._take(key, bool, "true or false")
        return default if value is None else value

    def integer(self, key: str, low: int, high: int, default: int | None = None) -> int:
        largest = high if high <= _LARGEST_DECIMAL else hex(high)
        expected = f"{low}" if low == high else f"a whole number from {low} to {largest}"
        if default is not None and not self.has(key):
            return default
        value = self._take(key, int, expected)
        if value is not None and not low <= value <= high:
            self.wrong(key, expected)
            return low
        return low if value is None else value

    def addresses(self, key: str) -> tuple[int, ...]:
        """A list of addresses, empty where the key is absent."""
        if not self.has(key):
            return ()
        expected = "a list of addresses: [0xfe000000, 0xc000]"
        values = self._take(key, list, expected) or []
        for at, value in enumerate(values):
            if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 1 << 64:
                self.wrong(key, "an address from 0 to 0xffffffffffffffff", item=at)
        return tuple(values) if self.good(key) else ()

    def size(self, key: str, default: int | None = None) -> int:
        """A size in bytes; 1 stands in for a wrong one."""
        if not self.has(key):
            if default is None:
                self.missing(key, _SIZE_HELP)
            return default or 1
        size = size_of(self._data[key])
        if size is None:
            self.wrong(key, _SIZE_HELP)
        return size or 1

    def size_or_none(self, key: str) -> int | None:
        """A size in bytes; None for 'none' and for what is absent or wrong."""
        if not self.has(key) or self._data[key] == "none":
            return None
        size = size_of(self._data[key])
        if size is None:
            self.wrong(key, f"'none' or {_SIZE_HELP}")
        return size

    def page_sizes(self, key: str) -> tuple[int, ...]:
        """A list of page sizes, ascending; one page of 4 KiB stands in for a wrong one."""
        expected = "a list of powers of two, ascending: ['4K', '2M', '1G']"
        sizes = [size_of(value) for value in self._take(key, list, expected) or []]
        found = [size for size in sizes if size is not None and not size & (size - 1)]
        if self.good(key) and (
            not found or len(found) != len(sizes) or found != sorted(set(found))
        ):
            self.wrong(key, expected)
        return tuple(found) if self.good(key) else (4096,)

    # -- tables in this one

    def table(self, key: str, *, needed: bool = False) -> Table:
        """A table in this one; empty where it is absent."""
        data: Mapping[str, object] | None = {}
        if needed or self.has(key):
            data = self._take(key, dict, f"a table [{key}]")
        return Table(self._report, (*self._path, key), data or {})

    def tables(self, key: str) -> list[Table]:
        """An array of tables; empty where it is absent."""
        if not self.has(key):
            return []
        path = (*self._path, key)
        tables = []
        for at, value in enumerate(self._take(key, list, "a list of tables") or []):
            if isinstance(value, dict):
                tables.append(Table(self._report, (*path, at), value))
            else:
                self.wrong(key, "a table", item=at)
        return tables


def unique(tables: Iterable[Table], key: str, values: Iterable[object]) -> None:
    """Notes every value that an earlier table has too; None may be there more than once."""
    first: dict[object, Table] = {}
    for table, value in zip(tables, values, strict=True):
        if value is None or not table.good(key):
            continue
        other = first.setdefault(value, table)
        if other is not table:
            table.wrong(key, f"another value, {other.key(key)} has it")
