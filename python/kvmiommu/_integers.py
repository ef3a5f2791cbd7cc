# SPDX-License-Identifier: MIT
"""Numbers that must fit a field, as the extension checks those of its own arguments."""

from __future__ import annotations

from operator import index
from typing import SupportsIndex

__all__ = ["fit"]


def fit(name: str, value: SupportsIndex, low: int, high: int) -> int:
    """`value` as an int from `low` to `high`; `name` is the argument or the field that it is for.

    Bools and numbers of numpy are integers too. Raises TypeError for what is not an integer, a
    float above all, and OverflowError for one that does not fit.
    """
    try:
        number = index(value)
    except TypeError:
        raise TypeError(f"{name} must be an integer, not {type(value).__name__}") from None
    if not low <= number <= high:
        raise OverflowError(f"{name} is {number:#x}: must be from {low:#x} to {high:#x}")
    return number
