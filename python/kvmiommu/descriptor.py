# SPDX-License-Identifier: MIT
"""What every thin object has: a process, a descriptor, and a close that a `with` block does."""

from __future__ import annotations

import ctypes
from types import TracebackType
from typing import TYPE_CHECKING, Self, TypeAlias

if TYPE_CHECKING:
    from ._core import WriteableBuffer
    from .process import Process
    from .uapi.ioctl import Request

__all__ = ["AnyDescriptor", "Descriptor", "fd_of"]


class Descriptor:
    """An open descriptor of a process.

    `fd` is its number; it is the caller's to use with `process.ioctl` too. Closing twice is no
    error, closing what the process has closed by itself is: OSError EBADF.
    """

    def __init__(self, process: Process, fd: int) -> None:
        self.process = process
        self.fd = fd
        self._open = True

    def ioctl(self, request: Request, argument: int | WriteableBuffer | None = None) -> int:
        """The request, encoded as the machine's processes encode it. Raises OSError."""
        return self.process.ioctl(self.fd, request.number(self.process.abi), argument)

    def fileno(self) -> int:
        return self.fd

    def dup(self) -> int:
        """Another descriptor for the same open file. Raises OSError EMFILE."""
        return self.process.dup(self.fd)

    def close(self) -> None:
        if self._open:
            self._open = False
            self.process.close(self.fd)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        where: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        state = "" if self._open else ", closed"
        return f"<{type(self).__name__}, descriptor {self.fd}{state}>"


#: A descriptor of the process by its number, or a thin object that has one.
AnyDescriptor: TypeAlias = int | Descriptor


def fd_of(process: Process, name: str, file: AnyDescriptor) -> int:
    """The number of a descriptor that is the argument `name` of a call of `process`.

    ValueError: an object of another process. OverflowError: a number of more than 32 bits.
    """
    if isinstance(file, Descriptor):
        if file.process is not process:
            raise ValueError(f"{name} is {file!r} of another process")
        return file.fd
    if not -(1 << 31) <= file < 1 << 31:
        raise OverflowError(f"{name} {file}: a descriptor has 32 bits")
    return file


def int_argument(value: int) -> ctypes.c_int32:
    """An int that a call takes by its address."""
    return ctypes.c_int32(value)
