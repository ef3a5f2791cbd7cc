# SPDX-License-Identifier: MIT
"""The system calls that the driver makes, as an object.

On a machine with an edu device that is `Linux`. The tests pass an emulated process, which has
methods of the same names.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import select
from typing import Protocol, TypeAlias

__all__ = ["Calls", "Linux"]

#: The third argument of ioctl: a number, or what the kernel reads and writes.
Argument: TypeAlias = int | bytearray | ctypes.c_int32 | ctypes.Structure


class Calls(Protocol):
    """Named and called as in `os`; addresses are numbers. A refused call is an `OSError`."""

    def open(self, path: str, flags: int, /) -> int: ...
    def close(self, fd: int, /) -> None: ...
    def ioctl(self, fd: int, request: int, arg: Argument, /) -> int: ...
    def read(self, fd: int, length: int, /) -> bytes: ...
    def pread(self, fd: int, length: int, offset: int, /) -> bytes: ...
    def pwrite(self, fd: int, data: bytes, offset: int, /) -> int: ...
    def eventfd(self, initval: int, flags: int, /) -> int: ...

    def wait(self, fd: int, timeout: float | None, /) -> bool:
        """Waits until `fd` can be read, at most `timeout` seconds; says whether it can be."""

    def mmap(self, length: int, prot: int, flags: int, fd: int, offset: int, /) -> int:
        """Returns the address."""

    def munmap(self, address: int, length: int, /) -> None: ...

    def peek(self, address: int, length: int, /) -> bytes:
        """The bytes at `address`. 4 and 8 bytes are one load, as registers of devices want it."""

    def poke(self, address: int, data: bytes, /) -> None:
        """Stores `data` at `address`. 4 and 8 bytes are one store."""


#: A load or store of one of these is a single access.
_WORDS: dict[int, type[ctypes.c_uint32 | ctypes.c_uint64]] = {
    4: ctypes.c_uint32,
    8: ctypes.c_uint64,
}
_MAP_FAILED = ctypes.c_void_p(-1).value


class Linux:
    """The calls of the machine that this program runs on."""

    def __init__(self) -> None:
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._libc.mmap.restype = ctypes.c_void_p
        number, size, offset = ctypes.c_int, ctypes.c_size_t, ctypes.c_int64
        self._libc.mmap.argtypes = [ctypes.c_void_p, size, number, number, number, offset]
        self._libc.munmap.argtypes = [ctypes.c_void_p, size]

    def open(self, path: str, flags: int, /) -> int:
        return os.open(path, flags)

    def close(self, fd: int, /) -> None:
        os.close(fd)

    def ioctl(self, fd: int, request: int, arg: Argument, /) -> int:
        return fcntl.ioctl(fd, request, arg)

    def read(self, fd: int, length: int, /) -> bytes:
        return os.read(fd, length)

    def pread(self, fd: int, length: int, offset: int, /) -> bytes:
        return os.pread(fd, length, offset)

    def pwrite(self, fd: int, data: bytes, offset: int, /) -> int:
        return os.pwrite(fd, data, offset)

    def eventfd(self, initval: int, flags: int, /) -> int:
        return os.eventfd(initval, flags)

    def wait(self, fd: int, timeout: float | None, /) -> bool:
        poll = select.poll()
        poll.register(fd, select.POLLIN)
        return bool(poll.poll(None if timeout is None else timeout * 1000))

    def mmap(self, length: int, prot: int, flags: int, fd: int, offset: int, /) -> int:
        address = self._libc.mmap(None, length, prot, flags, fd, offset)
        if address == _MAP_FAILED:
            raise _last_error()
        return int(address)

    def munmap(self, address: int, length: int, /) -> None:
        if self._libc.munmap(address, length) != 0:
            raise _last_error()

    def peek(self, address: int, length: int, /) -> bytes:
        if word := _WORDS.get(length):
            return bytes(word.from_address(address))
        return ctypes.string_at(address, length)

    def poke(self, address: int, data: bytes, /) -> None:
        if word := _WORDS.get(len(data)):
            word.from_address(address).value = word.from_buffer_copy(data).value
        else:
            ctypes.memmove(address, data, len(data))


def _last_error() -> OSError:
    number = ctypes.get_errno()
    return OSError(number, os.strerror(number))
