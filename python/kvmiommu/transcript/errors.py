# SPDX-License-Identifier: MIT
"""What is wrong with a transcript, and where."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["Place", "SyntaxMistake", "TranscriptError"]


class Place(NamedTuple):
    """A place in a file: line and column, both from 1."""

    line: int
    column: int


class TranscriptError(Exception):
    """A transcript that cannot be read or played: where, what was found, what was expected."""

    def __init__(self, file: str, line: int, found: str, expected: str, *, column: int = 1) -> None:
        self.file = file
        self.line = line
        self.column = column
        self.found = found
        self.expected = expected
        super().__init__(f"{file}:{line}:{column}: {found}; expected {expected}")

    def __reduce__(self) -> tuple[object, ...]:
        return _made_again, (self.file, self.line, self.found, self.expected, self.column)


def _made_again(file: str, line: int, found: str, expected: str, column: int) -> TranscriptError:
    return TranscriptError(file, line, found, expected, column=column)


class SyntaxMistake(Exception):  # noqa: N818 - it never leaves the parser
    """What was found and what was expected; the column where that is known, the line never."""

    def __init__(self, found: str, expected: str, column: int | None = None) -> None:
        self.found = found
        self.expected = expected
        self.column = column
        super().__init__(found)
