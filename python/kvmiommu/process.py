# SPDX-License-Identifier: MIT
"""An emulated process. Its methods are system calls, under the names of Python's `os` and `mmap`.

A call that the kernel would refuse raises `Refusal`, an `OSError` with the kernel's errno; the text
says which check refused, with its numbers, and where the rule is written down.
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING
from weakref import WeakValueDictionary

from . import _core, uapi
from .descriptor import AnyDescriptor, Descriptor, fd_of
from .errors import MemoryFault, Refusal
from .kvm import VM, Guest
from .kvm.guest import TranscriptGuest
from .uapi import posix

if TYPE_CHECKING:
    import asyncio

    from ._core import ReadableBuffer
    from ._waiting import Waits
    from .system import System
    from .uapi import Abi

__all__ = ["Process"]

_READABLE = posix.POLLIN | posix.POLLERR | posix.POLLHUP


class Process(_core.Process):
    """A process of a `System`; `System.process()` makes one.

    User addresses are real addresses of this Python process while they are mapped, but nothing that
    is given as an address can crash it: what is not the process's own memory is EFAULT.

    Pointers inside an argument block must be the process's: memory from `mmap`. The block itself
    may be any writable buffer: `ioctl` copies it into the process's memory, with 4096 zero bytes
    behind it, and back when the call has returned. A block that cannot be written to, such as
    bytes, is copied in only.
    """

    def __init__(self, system: System) -> None:
        super().__init__(system)
        #: How the machine's processes encode requests: "generic" or "power".
        self.abi: Abi = system.machine.abi
        # The event loops have them: what a loop drops, because it is closed, goes with it.
        self._waits: WeakValueDictionary[asyncio.AbstractEventLoop, Waits] = WeakValueDictionary()

    def peek(self, address: int, length: int) -> bytes:
        """What the process reads at `address`. Raises MemoryFault where it would get a signal."""
        data = self._peek(address, length)
        if isinstance(data, str):
            raise MemoryFault(data, address, length)
        return data

    def poke(self, address: int, data: ReadableBuffer) -> None:
        """Stores `data` at `address`, as the process would.

        Raises MemoryFault where it would get a signal; bytes before the fault have been stored.
        """
        if signal := self._poke(address, data):
            raise MemoryFault(signal, address, memoryview(data).nbytes)

    def view(self, address: int, length: int) -> memoryview:
        """The memory of the process as a writable buffer of bytes.

        It shows the same memory as long as it exists, also when the process unmaps it or exits. A
        child of `os.fork()` shares it with its parent, as all memory that Python maps shared.
        Raises OSError: EFAULT where the process could not read it.
        """
        return memoryview(self._view(address, length))

    async def wait_async(self, fd: AnyDescriptor, timeout: float | None = None) -> bool:
        """Waits as `wait`, in a task of asyncio: other tasks run meanwhile, and no thread waits.

        Returns True once the descriptor is readable, False after `timeout` seconds, and at once
        where nothing is to be waited for. It may be cancelled at any time. `interrupt` does not end
        it, for it is the event loop that sleeps.

        Raises OSError: EBADF not open; EINTR the process exits.
        """
        seconds = _core.seconds(timeout)
        if self.poll(fd, posix.POLLIN) & _READABLE:
            return True
        # Not at the top, for asyncio takes its time to be imported.
        from asyncio import get_running_loop  # noqa: PLC0415

        from ._waiting import Waits  # noqa: PLC0415

        loop = get_running_loop()
        waits = self._waits.get(loop)
        if waits is None:
            waits = self._waits[loop] = Waits(self, loop)
        try:
            return await waits.wait(fd_of(self, "fd", fd), seconds)
        finally:
            if waits.end():
                self._waits.pop(loop, None)

    def setresuid(self, ruid: int, euid: int, suid: int) -> None:
        """Becomes another user; capabilities go with user 0.

        The three ids must be one: OSError EINVAL. EPERM without CAP_SETUID, unless it is the same.
        """
        if not ruid == euid == suid:
            reason = f"the user ids {ruid}, {euid} and {suid} are not the same"
            raise Refusal(errno.EINVAL, reason, "kvmiommu: process.py")
        self._set_user(ruid)

    def status(self, key: str) -> int:
        """A line of /proc/self/status in kB: "VmLck" (locked) or "VmPin" (pinned)."""
        match key:
            case "VmLck":
                return self.locked_vm // 1024
            case "VmPin":
                return self.pinned_vm // 1024
            case _:
                raise ValueError(f"status() knows VmLck and VmPin, not {key!r}")

    def guest(self, kvm: int, vm: int, address: int, size: int) -> TranscriptGuest:
        """What `guest` in a transcript does, with the descriptors that it names; programs make a
        `kvmiommu.kvm.Guest`."""
        self.ioctl(kvm, uapi.kvm.KVM_GET_VCPU_MMAP_SIZE.number(self.abi))
        return TranscriptGuest(Guest(VM(self, vm), address, size))

    def close(self, fd: AnyDescriptor) -> None:
        """As the extension's; an object that is closed so knows it."""
        super().close(fd)
        if isinstance(fd, Descriptor):
            fd._open = False

    def __repr__(self) -> str:
        try:
            return f"<Process of user {self.uid}, {self.mapped_bytes >> 10} KiB mapped>"
        except OSError:
            return "<Process of the parent's machine>"
