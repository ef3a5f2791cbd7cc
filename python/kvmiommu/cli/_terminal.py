# SPDX-License-Identifier: MIT
"""What is written where: results to standard output, everything else to standard error.

Colour and progress are for terminals that can show them: not with TERM=dumb, colour not with
NO_COLOR (https://no-color.org).
"""

from __future__ import annotations

import contextlib
import os
import sys
import time
from typing import TextIO

import click

from ._errors import OutputError

__all__ = ["Progress", "abandon_stdout", "complain", "flush", "set_up", "styled", "write"]

#: Seconds before a run counts as long and shows how far it is.
_PATIENCE = 1.0


def set_up() -> None:
    """What an encoding cannot say is written as an escape, such as a file name that is no text."""
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            with contextlib.suppress(OSError, ValueError):
                reconfigure(errors="backslashreplace")


def write(text: str) -> None:
    """Writes text and a line end to standard output. Raises OutputError."""
    if sys.stdout is None:  # type: ignore[unreachable, unused-ignore]
        raise OutputError("it is closed")
    try:
        sys.stdout.write(f"{text}\n")
    except (OSError, ValueError) as error:
        raise OutputError(_why(error)) from error


def flush() -> None:
    """Everything written has left the process. Raises OutputError."""
    if sys.stdout is None:  # type: ignore[unreachable, unused-ignore]
        return
    try:
        sys.stdout.flush()
    except (OSError, ValueError) as error:
        raise OutputError(_why(error)) from error


def _why(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error)


def abandon_stdout() -> None:
    """What is still buffered goes nowhere: the interpreter must not try to write it again."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        try:
            os.dup2(nowhere, sys.stdout.fileno())
        finally:
            os.close(nowhere)


def complain(text: str) -> None:
    """Writes a line to standard error; if that cannot be done, nothing can."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        sys.stderr.write(f"{text}\n")
        sys.stderr.flush()


def _is_terminal(stream: TextIO | None) -> bool:
    if stream is None or os.environ.get("TERM") == "dumb":
        return False
    try:
        return stream.isatty()
    except ValueError:  # it is closed
        return False


def styled(text: str, **style: str | bool) -> str:
    """Text in colour, bold and the like, as `click.style` has them, where that can be seen."""
    if not _is_terminal(sys.stdout) or os.environ.get("NO_COLOR"):
        return text
    return click.style(text, **style)  # type: ignore[arg-type]


class Progress:
    """How far a long run is: one line on the terminal, which vanishes before other output."""

    def __init__(self) -> None:
        self._begin = time.monotonic()
        self._terminal = _is_terminal(sys.stderr)
        self._shown = False

    def show(self, text: str) -> None:
        if self._terminal and time.monotonic() - self._begin >= _PATIENCE:
            self._put(text)
            self._shown = True

    def clear(self) -> None:
        if self._shown:
            flush()
            self._put("")
            self._shown = False

    @staticmethod
    def _put(text: str) -> None:
        with contextlib.suppress(OSError, ValueError):
            sys.stderr.write(f"\r\x1b[K{text}")
            sys.stderr.flush()
