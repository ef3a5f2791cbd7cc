# SPDX-License-Identifier: MIT
"""What strategies and state machines check of their arguments, before Hypothesis draws anything."""

from __future__ import annotations

from operator import index
from typing import SupportsIndex

__all__ = ["at_least", "page_of"]


def at_least(name: str, value: SupportsIndex, least: int) -> int:
    """`value` as an int from `least` on. Raises TypeError, ValueError: it is none; `name` says of
    what."""
    try:
        number = index(value)
    except TypeError:
        raise TypeError(f"{name} must be an integer, not {type(value).__name__}") from None
    if number < least:
        raise ValueError(f"{name} is {number}: must be {least} or more")
    return number


def page_of(name: str, value: SupportsIndex) -> int:
    """`value` as the size of a page, a power of two. Raises as `at_least`."""
    size = at_least(name, value, 1)
    if size & (size - 1):
        raise ValueError(f"{name} is {size}: must be a power of two")
    return size
