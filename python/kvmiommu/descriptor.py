# SPDX-License-Identifier: MIT
"""What every thin object has: a process, a descriptor, and a close that a `with` block does."""

from __future__ import annotations

import ctypes
from types import TracebackType
from typing import TYPE_CHECKING, Self, TypeAlias

from ._integers import fit

if TYPE_CHECKING:
    from ._core import ReadableBuffer
    from .process import Process
    from .uapi.ioctl import Request

__all__ = ["AnyDescriptor", "Closing", "Descriptor", "fd_of"]

_LEAST, _GREATEST = -(1 << 31), (1 << 31) - 1


class Closing:
    """What the end of a `with` block closes."""

    def close(self) -> None:
        raise NotImplementedError

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        where: TracebackType | None,
    ) -> None:
        self.close()


class Descriptor(Closing):
    """An open descriptor of a process.

    Calls of the process take the object itself or `fd`, its number there. It is no descriptor of
    the host, so nothing of the host can use it: `Process.wait` and `Process.wait_async` wait for
    it, not `select` or asyncio's `add_reader`.

    Closing twice is no error, closing what the process has closed by itself is: OSError EBADF.
    """

    def __init__(self, process: Process, fd: int) -> None:
        self.process = process
        self.fd = fd
        self._open = True

    def ioctl(
        self,
        request: Request,
        argument: int | ReadableBuffer | None = None,
        *,
        timeout: float | None = None,
    ) -> int:
        """The request, encoded as the machine's processes encode it. Raises OSError.

        TimeoutError once it has slept `timeout` seconds.
        """
        number = request.number(self.process.abi)
        if timeout is None:
            return self.process.ioctl(self.fd, number, argument)
        return self.process.ioctl(self.fd, number, argument, timeout=timeout)

    def dup(self) -> int:
        """Another descriptor for the same open file. Raises OSError EMFILE."""
        return self.process.dup(self.fd)

    def close(self) -> None:
        if self._open:
            self._open = False
            self.process.close(self.fd)

    def __repr__(self) -> str:
        state = "" if self._open else ", closed"
        return f"<{type(self).__name__}, descriptor {self.fd}{state}>"


#: A descriptor of the process by its number, or a thin object that has one.
AnyDescriptor: TypeAlias = int | Descriptor


def fd_of(process: object, name: str, file: AnyDescriptor) -> int:
    """The number of a descriptor that is the argument `name` of a call of `process`.

    ValueError: an object of another process, of this system or another, or one that was closed.
    OverflowError: a number that no descriptor has. TypeError: neither a number nor such an object.
    """
    if not isinstance(file, Descriptor):
        try:
            return fit(name, file, _LEAST, _GREATEST)
        except TypeError:
            given = type(file).__name__
            raise TypeError(f"{name} must be an integer or a Descriptor, not {given}") from None
    if file.process is not process:
        raise ValueError(
            f"{name} is {file!r} of another process: of {file.process!r}, not of {process!r}"
        )
    if not file._open:
        raise ValueError(f"{name} is {file!r}")
    return file.fd


def int_argument(value: int) -> ctypes.c_int32:
    """An int that a call takes by its address."""
    return ctypes.c_int32(fit("the argument", value, _LEAST, _GREATEST))
