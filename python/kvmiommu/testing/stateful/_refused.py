# SPDX-License-Identifier: MIT
"""Calls that must be refused, or must not."""

from __future__ import annotations

import errno
from collections.abc import Callable
from typing import TypeVar

__all__ = ["compare"]

_T = TypeVar("_T")


def compare(what: str, expected: int | None, call: Callable[[], _T]) -> _T | None:
    """Makes the call and says what it returned; None where it was refused as `expected` says.

    Raises AssertionError: another errno, or a call that was granted and should not have been.
    """
    wanted = "to be granted" if expected is None else errno.errorcode[expected]
    try:
        result = call()
    except OSError as refusal:
        found = errno.errorcode.get(refusal.errno or 0, str(refusal.errno))
        if refusal.errno != expected:
            raise AssertionError(
                f"{what}: expected {wanted}, found {found}: {refusal}"
            ) from refusal
        return None
    assert expected is None, f"{what}: expected {wanted}, but it was granted"
    return result
