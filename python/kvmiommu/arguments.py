# SPDX-License-Identifier: MIT
"""What the thin objects check before a call is made: that a number fits the field it is put into.

A ctypes structure would cut it. Whether the number makes sense is the kernel's to say.
"""

from __future__ import annotations

import operator
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, SupportsIndex

from .uapi import posix

if TYPE_CHECKING:
    from .process import Process

__all__ = ["scratch", "u8", "u16", "u32", "u64"]


def u8(name: str, value: SupportsIndex) -> int:
    """`value` as an unsigned number of 8 bits, or OverflowError that names the argument."""
    return _unsigned(name, value, 8)


def u16(name: str, value: SupportsIndex) -> int:
    """`value` as an unsigned number of 16 bits, or OverflowError that names the argument."""
    return _unsigned(name, value, 16)


def u32(name: str, value: SupportsIndex) -> int:
    """`value` as an unsigned number of 32 bits, or OverflowError that names the argument."""
    return _unsigned(name, value, 32)


def u64(name: str, value: SupportsIndex) -> int:
    """`value` as an unsigned number of 64 bits, or OverflowError that names the argument."""
    return _unsigned(name, value, 64)


def _unsigned(name: str, value: SupportsIndex, bits: int) -> int:
    try:
        number = operator.index(value)
    except TypeError:
        raise TypeError(f"{name} is an int, not {value!r}") from None
    if not 0 <= number < 1 << bits:
        raise OverflowError(f"{name} {number:#x}: must be from 0 to 2**{bits} - 1")
    return number


@contextmanager
def scratch(process: Process, length: int, data: bytes = b"") -> Iterator[int]:
    """The address of `length` bytes of the process's own memory that begin with `data`; the rest
    is zeros. For arguments that a request takes by their address. Raises OSError ENOMEM."""
    address = process.mmap(
        length, posix.PROT_READ | posix.PROT_WRITE, posix.MAP_PRIVATE | posix.MAP_ANONYMOUS
    )
    try:
        if data:
            process.poke(address, data)
        yield address
    finally:
        process.munmap(address, length)
