# SPDX-License-Identifier: MIT
"""What the thin objects check before a call: that a number fits its field, by the argument's name.

Whether the number makes sense is the kernel's to say.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, SupportsIndex

from ._integers import fit
from .uapi import posix

if TYPE_CHECKING:
    from .process import Process

__all__ = ["misfit", "scratch", "u8", "u16", "u32", "u64"]


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
    return fit(name, value, 0, (1 << bits) - 1)


def misfit(**fields: SupportsIndex) -> Exception:
    """What `u64` raises for the first of the arguments that does not fit; one of them does not.

    For blocks that are packed rather than made as structures, which takes several times as long:
    those of calls that programs make often.
    """
    for name, value in fields.items():
        try:
            u64(name, value)
        except (OverflowError, TypeError) as error:
            return error
    raise AssertionError("every argument fits")


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
