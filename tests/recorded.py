# SPDX-License-Identifier: MIT
"""What the real kernel returned for the requests of a transcript, for tests that make them anew."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from errno import errorcode
from pathlib import Path

FOLDER = Path(__file__).parent / "conformance" / "transcripts"


def recorded(transcript: str, *requests: str) -> list[str]:
    """The results of these requests in the file, in order: "0", "ok", "-EINVAL"."""
    lines = (FOLDER / transcript).read_text(encoding="utf-8").splitlines()
    found = [
        following.removeprefix("  = ")
        for line, following in itertools.pairwise(lines)
        if line.startswith("ioctl ") and line.split()[2] in requests
    ]
    assert found, f"{transcript} has none of {requests}"
    return found


def result(call: Callable[[], object], success: str = "0") -> str:
    """What a call came to, as a transcript writes it."""
    try:
        call()
    except OSError as error:
        return f"-{errorcode[error.errno or 0]}"
    return success
