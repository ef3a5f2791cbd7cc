# SPDX-License-Identifier: MIT
"""What is wrong with a description: every mistake with its place, and the error that holds all."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

__all__ = ["MachineError", "Mistake", "nearest"]


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The known word that was probably meant, or None."""
    near = difflib.get_close_matches(str(word), list(known), n=1)
    return near[0] if near else None


@dataclass(frozen=True, slots=True)
class Mistake:
    """One mistake of a description.

    `line` counts from 1 and is None where there is no text to point at. `key` is the path of the
    key in the file, such as `iommu[0].driver`, and empty where the file as a whole is wrong.
    `suggestion` is the word that was probably meant.
    """

    file: str
    line: int | None
    key: str
    found: str
    expected: str
    suggestion: str | None = None

    @property
    def place(self) -> str:
        """`FILE:LINE`, or the file alone."""
        return self.file if self.line is None else f"{self.file}:{self.line}"

    def __str__(self) -> str:
        key = f" {self.key}:" if self.key else ""
        meant = f" (did you mean '{self.suggestion}'?)" if self.suggestion else ""
        return f"{self.place}:{key} found {self.found}; expected {self.expected}{meant}"


class MachineError(ValueError):
    """A description that is not right; `mistakes` has all that is wrong with it, at least one.

    Unknown keys come first, then values that are wrong, then keys that are missing, each in the
    order of their lines. The text has a line for each.
    """

    def __init__(self, mistakes: Sequence[Mistake]) -> None:
        self.mistakes = tuple(mistakes)
        super().__init__(self.mistakes)

    def __str__(self) -> str:
        return "\n".join(map(str, self.mistakes))
