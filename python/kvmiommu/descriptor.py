# SPDX-License-Identifier: MIT
"""What every thin object has: a process, a descriptor, and a close that a `with` block does."""

from __future__ import annotations

import ctypes
import os
from abc import ABC, abstractmethod
from types import TracebackType
from typing import TYPE_CHECKING, Self, TypeAlias

from . import _core
from ._integers import fit

if TYPE_CHECKING:
    from ._core import ReadableBuffer
    from .process import Process
    from .uapi.ioctl import Request

__all__ = ["AnyDescriptor", "Closing", "Descriptor", "fd_of"]

_LEAST, _GREATEST = -(1 << 31), (1 << 31) - 1


class Closing(ABC):
    """What the end of a `with` block closes."""

    @abstractmethod
    def close(self) -> None: ...

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

    Once it is closed, whatever would use it is a ValueError, as for Python's files: another file
    may have the number by then. Closing twice is no error. Nothing of this knows of the process
    closing the number itself.
    """

    def __init__(self, process: Process, fd: int) -> None:
        self.process = process
        self._fd = fit("fd", fd, _LEAST, _GREATEST)
        self._open = True

    @classmethod
    def _opened(cls, process: Process, path: str) -> int:
        """The number of a file that is opened for such an object."""
        if not isinstance(process, _core.Process):
            raise TypeError(f"process must be a kvmiommu.Process, not {type(process).__name__}")
        return process.open(path, os.O_RDWR)

    @property
    def fd(self) -> int:
        """Its number in the process. ValueError: it was closed."""
        if not self._open:
            raise ValueError(f"operation on {self!r}")
        return self._fd

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
        try:
            number = request.number(self.process.abi)
        except AttributeError:
            raise TypeError(
                f"request must be one of kvmiommu.uapi's, such as VFIO_IOMMU_MAP_DMA, not "
                f"{request!r}; Process.ioctl takes numbers"
            ) from None
        if timeout is None:
            return self.process.ioctl(self.fd, number, argument)
        return self.process.ioctl(self.fd, number, argument, timeout=timeout)

    def dup(self) -> int:
        """Another descriptor for the same open file. Raises OSError EMFILE."""
        return self.process.dup(self.fd)

    def close(self) -> None:
        if self._open:
            self._open = False
            self.process.close(self._fd)

    def __repr__(self) -> str:
        return f"<{self._shown()}, {self._number()}>"

    def _shown(self) -> str:
        return type(self).__name__

    def _number(self) -> str:
        return f"descriptor {self._fd}{'' if self._open else ', closed'}"


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
    return file._fd


def int_argument(value: int) -> ctypes.c_int32:
    """An int that a call takes by its address."""
    return ctypes.c_int32(fit("the argument", value, _LEAST, _GREATEST))
