# SPDX-License-Identifier: MIT
"""A transcript with other answers: its calls and comments stay."""

from __future__ import annotations

from collections.abc import Iterable

from .player import Outcome
from .syntax import Step

__all__ = ["rewritten"]


def rewritten(text: str, outcomes: Iterable[tuple[Step, Outcome]]) -> str:
    """The text of a transcript with each call's outcome in the place of its answer.

    A call that has no outcome at all becomes a comment that says why.
    """
    by_line = {step.line: outcome for step, outcome in outcomes}
    lines: list[str] = []
    for number, raw in enumerate(text.split("\n"), 1):
        line = raw.removesuffix("\r")
        if line.startswith(("  = ", "  > ")) or line == "  >":
            continue
        outcome = by_line.get(number)
        if outcome is None:
            lines.append(line)
        elif outcome.lines:
            lines += [line, *outcome.lines]
        else:
            lines += [f"# {line}", *(f"# {why}" for why in outcome.reason.splitlines())]
    return "\n".join(lines).rstrip("\n") + "\n"
