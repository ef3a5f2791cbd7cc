# SPDX-License-Identifier: MIT
"""The command `kvmiommu` within the test's own process."""

from __future__ import annotations

import contextlib
import io
import sys
from collections.abc import Sequence

from kvmiommu.cli import main

__all__ = ["command"]


def command(arguments: Sequence[str], stdin: bytes = b"") -> tuple[int, str, str]:
    """The exit status, standard output and standard error of a command line."""
    out, err = io.StringIO(), io.StringIO()
    before, sys.stdin = sys.stdin, io.TextIOWrapper(io.BytesIO(stdin))
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            status = main(arguments)
    finally:
        sys.stdin = before
    return status, out.getvalue(), err.getvalue()
