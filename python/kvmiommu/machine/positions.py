# SPDX-License-Identifier: MIT
"""Where the keys of a TOML document are.

`tomllib` gives values without their lines. `lines_of` walks over the same document and notes the
line of every key, table and list item; values are skipped, not read. The document must be one that
`tomllib` has accepted. TOML 1.0, https://toml.io/en/v1.0.0.
"""

from __future__ import annotations

import bisect
import re
import tomllib
from typing import TypeAlias

__all__ = ["Path", "lines_of"]

#: A place in a document: keys and, for items of a list, their index.
Path: TypeAlias = tuple[str | int, ...]

_BLANK = re.compile(r"[ \t]*")
_BLANK_LINES = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
_BARE_VALUE = re.compile(r"[^,\]}#\n]*")
# The closing quotes of a multi-line string may follow one or two that belong to it.
_STRING = re.compile(
    r'"""(?:[^"\\]|\\.|"{1,2}(?!"))*"{3,5}'
    r"|'''(?:[^']|'{1,2}(?!'))*'{3,5}"
    r'|"(?:[^"\\\n]|\\.)*"'
    r"|'[^'\n]*'",
    re.DOTALL,
)


def lines_of(text: str) -> dict[Path, int]:
    """The line, from 1, of every key, table and list item of a TOML document."""
    return _Walk(text).document()


class _Walk:
    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._starts = [0, *(match.end() for match in re.finditer("\n", text))]
        self._lines: dict[Path, int] = {}
        self._counts: dict[Path, int] = {}  # of the tables in an array of tables

    def document(self) -> dict[Path, int]:
        table: Path = ()
        self._skip(_BLANK_LINES)
        while self._at < len(self._text):
            if self._take("[["):
                table = self._next_of(self._key())
                self._take("]]")
            elif self._take("["):
                table = self._within(self._key())
                self._note(table)
                self._take("]")
            else:
                self._pair(table)
            self._skip(_BLANK_LINES)
        return self._lines

    # -- places

    def _note(self, path: Path) -> None:
        """The place is on this line, and so are those around it that were not seen yet."""
        line = bisect.bisect_right(self._starts, self._at)
        for end in range(1, len(path) + 1):
            self._lines.setdefault(path[:end], line)

    def _within(self, keys: list[str]) -> Path:
        """The place that a header names: in an array of tables, the last table of it."""
        path: Path = ()
        for key in keys:
            path = (*path, key)
            if path in self._counts:
                path = (*path, self._counts[path])
        return path

    def _next_of(self, keys: list[str]) -> Path:
        """The place of a new table at the end of an array of tables."""
        path: Path = (*self._within(keys[:-1]), keys[-1])
        self._counts[path] = self._counts.get(path, -1) + 1
        path = (*path, self._counts[path])
        self._note(path)
        return path

    # -- text

    def _skip(self, pattern: re.Pattern[str]) -> str:
        match = pattern.match(self._text, self._at)
        if match is None:
            return ""
        self._at = match.end()
        return match[0]

    def _take(self, text: str) -> bool:
        if not self._text.startswith(text, self._at):
            return False
        self._at += len(text)
        return True

    def _key(self) -> list[str]:
        """A key, dotted or not."""
        keys = []
        while True:
            self._skip(_BLANK)
            quoted = self._skip(_STRING)
            keys.append(_string(quoted) if quoted else self._skip(_BARE_KEY))
            self._skip(_BLANK)
            if not self._take("."):
                return keys

    def _pair(self, table: Path) -> None:
        """KEY = VALUE."""
        begin = self._at
        path = (*table, *self._key())
        self._note(path)
        if not self._take("="):
            # Not TOML: whatever follows has no place.
            self._at = len(self._text) if self._at == begin else self._at
            return
        self._value(path)

    def _value(self, path: Path) -> None:
        self._skip(_BLANK)
        if self._skip(_STRING):
            return
        if self._take("["):
            index = 0
            while not self._ends("]"):
                self._note((*path, index))
                self._value((*path, index))
                index += 1
                self._skip(_BLANK_LINES)
                self._take(",")
        elif self._take("{"):
            while not self._ends("}"):
                self._pair(path)
                self._skip(_BLANK_LINES)
                self._take(",")
        else:
            self._skip(_BARE_VALUE)

    def _ends(self, bracket: str) -> bool:
        self._skip(_BLANK_LINES)
        return self._take(bracket) or self._at >= len(self._text)


def _string(quoted: str) -> str:
    """The text of a quoted key."""
    value = tomllib.loads(f"key = {quoted}")["key"]
    return str(value)
