# SPDX-License-Identifier: MIT
"""Sizes as descriptions write them: 4096, "4K", "2M", "1G", "1T"."""

from __future__ import annotations

import re

__all__ = ["count_text", "size_of", "size_text"]

_SIZE = re.compile(r"([1-9][0-9]{0,19})([KMGT]?)")
_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}


def size_of(value: object) -> int | None:
    """Bytes, less than 2**64, or None for what is no size."""
    match = _SIZE.fullmatch(value) if isinstance(value, str) else None
    size = int(match[1]) * _UNITS[match[2]] if match else value
    if not isinstance(size, int) or isinstance(size, bool):
        return None
    return size if 0 < size < 1 << 64 else None


def size_text(size: int) -> str:
    """The shortest way to write that many bytes."""
    for unit in ("T", "G", "M", "K"):
        if not size % _UNITS[unit]:
            return f"{size // _UNITS[unit]}{unit}"
    return str(size)


def count_text(number: int, thing: str) -> str:
    """`1 group`, `2 groups`."""
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"
