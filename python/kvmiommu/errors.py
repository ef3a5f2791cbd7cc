# SPDX-License-Identifier: MIT
"""What can go wrong: a call that is refused, a bad access to memory, a leak of the emulator."""

from __future__ import annotations

import errno as _errno
import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Self, TypeAlias

if TYPE_CHECKING:
    from .uapi import Abi

__all__ = ["LeakError", "MemoryFault", "Refusal"]

# A request as the core knows it: its number, how the machine encodes numbers, the kind of the file.
_Request: TypeAlias = "tuple[int, Abi, str]"


class Refusal(OSError):  # noqa: N818 - it is no error of the emulator
    """A call that the kernel refuses.

    `errno` is the kernel's. What Python has a class for is one of that class, too: a refusal with
    ENOENT is a `FileNotFoundError`, one with EPERM a `PermissionError`, and so on.
    """

    #: Which check refused, with its numbers.
    reason: str
    #: Where the rule is written down: a file and a function of Linux, or of this package.
    source: str
    #: Of a call for many at once: which one of them was refused.
    index: int | None = None
    _request: _Request | str | None = None

    def __new__(
        cls,
        errno: int,
        reason: str,
        source: str,
        request: _Request | str | None = None,
        filename: str | None = None,
    ) -> Refusal:
        kind = _CLASSES.get(errno, cls)
        text = f"{reason} [{source}]"
        named = () if filename is None else (filename,)
        self: Refusal = OSError.__new__(kind, errno, text, *named)
        self.reason = reason
        self.source = source
        if request is not None:
            self._request = request
        return self

    @property
    def request(self) -> str | None:
        """The name of an ioctl's request ("VFIO_IOMMU_MAP_DMA"), as strace shows it.

        None for other calls.
        """
        if self._request is None or isinstance(self._request, str):
            return self._request
        from .strace import request_name  # noqa: PLC0415 - most programs never ask

        return request_name(*self._request)

    def __str__(self) -> str:
        subject = ""
        if self.filename is not None:
            subject = f"{self.filename!r}: "
        elif self.request is not None:
            subject = f"{self.request}: "
        assert self.errno is not None
        return f"[Errno {self.errno}] {os.strerror(self.errno)}: {subject}{self.strerror}"

    def __reduce__(self) -> tuple[Callable[..., Refusal], tuple[Any, ...], dict[str, Any]]:
        named = (self.errno, self.reason, self.source, self._request, self.filename)
        return Refusal, named, self.__dict__


# Python's own classes for errnos, each of them a Refusal, too.
_CLASSES: dict[int, Any] = {
    number: type("Refusal", (Refusal, kind), {"__doc__": Refusal.__doc__, "__module__": __name__})
    for number in _errno.errorcode
    if (kind := type(OSError(number, ""))) is not OSError
}


class MemoryFault(Exception):  # noqa: N818 - a fault is what the hardware calls it
    """A load or store of the process that would end in a signal.

    `signal` is its name: "SIGSEGV" where nothing is mapped or the protection forbids it, "SIGBUS"
    where a mapping shows a file past its end.
    """

    def __init__(self, signal: str, address: int, length: int) -> None:
        self.signal = signal
        self.address = address
        self.length = length
        super().__init__(f"{signal}: the process cannot reach all {length} bytes at {address:#x}")

    def __reduce__(self) -> tuple[type[Self], tuple[str, int, int], dict[str, Any]]:
        return type(self), (self.signal, self.address, self.length), self.__dict__


class LeakError(Exception):
    """A system was closed and something is still referenced: a fault of the emulator.

    `system` is its machine's name. `alive` has a line for each object: its kind and its references.
    """

    def __init__(self, system: str, alive: list[str]) -> None:
        self.system = system
        self.alive = alive
        lines = "\n  ".join(alive)
        super().__init__(f"{system}: still alive after every process exited:\n  {lines}")

    def __reduce__(self) -> tuple[type[Self], tuple[str, list[str]], dict[str, Any]]:
        return type(self), (self.system, self.alive), self.__dict__
