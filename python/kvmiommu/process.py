# SPDX-License-Identifier: MIT
"""An emulated process. Its methods are system calls, under the names of Python's `os` and `mmap`.

A call that the kernel would refuse raises `OSError` with the kernel's errno; the text says which
check refused, with its numbers, and where the rule is written down (also as the attributes `reason`
and `source`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import _core, uapi
from .errors import MemoryFault
from .kvm import VM, Guest
from .kvm.guest import TranscriptGuest

if TYPE_CHECKING:
    from ._core import ReadableBuffer
    from .system import System
    from .uapi import Abi

__all__ = ["Process"]


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

    def setresuid(self, ruid: int, euid: int, suid: int) -> None:
        """Becomes another user; capabilities go with user 0.

        The three ids must be one: OSError EINVAL. EPERM without CAP_SETUID, unless it is the same.
        """
        if not ruid == euid == suid:
            raise OSError(22, f"the user ids {ruid}, {euid} and {suid} are not the same")
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

    def __repr__(self) -> str:
        return f"<Process of user {self.uid}, {self.mapped_bytes >> 10} KiB mapped>"
