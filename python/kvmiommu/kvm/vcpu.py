# SPDX-License-Identifier: MIT
"""A virtual processor of a POWER guest as an object."""

from __future__ import annotations

import ctypes
import struct
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from .. import uapi
from .._integers import fit
from .._shown import Printer
from ..arguments import u32, u64
from ..descriptor import Descriptor
from ..strace import hypercall_name, return_code_name
from ..uapi import posix

if TYPE_CHECKING:
    from ..process import Process

__all__ = ["HypercallAnswer", "HypercallFigures", "Vcpu", "enable_cap_argument"]

_k = uapi.kvm
_MOST_REGISTERS = 9


def enable_cap_argument(capability: int, arguments: Sequence[int]) -> _k.kvm_enable_cap:
    """The argument of KVM_ENABLE_CAP, for a virtual machine as for a vcpu."""
    if len(arguments) > 4:
        raise TypeError(f"a capability takes up to four arguments, not {len(arguments)}")
    numbers = [u64("arguments", each) for each in arguments]
    return _k.kvm_enable_cap(
        cap=u32("capability", capability), args=(*numbers, *[0] * (4 - len(numbers)))
    )


class HypercallAnswer(NamedTuple):
    """What the guest found when a hypercall came back: r3 is signed."""

    number: int
    r3: int
    r4: int

    def __repr__(self) -> str:
        r3 = return_code_name(self.r3)
        return f"HypercallAnswer({hypercall_name(self.number)}, r3={r3}, r4={self.r4:#x})"

    def _repr_pretty_(self, printer: Printer, cycle: bool) -> None:
        printer.text(repr(self))


class HypercallFigures(NamedTuple):
    """How many hypercalls were served where.

    Real mode, the kernel with the MMU off, is of the past: only proposals of 2013 have it.
    """

    real: int
    virtual: int
    user: int

    @property
    def kernel(self) -> int:
        """Those that never left the kernel."""
        return self.real + self.virtual


class Vcpu(Descriptor):
    """A virtual processor, which is a queue of the hypercalls that its guest makes."""

    def __init__(self, process: Process, fd: int) -> None:
        """OSError ENOMEM: no user addresses are left to map the page that is shared."""
        super().__init__(process, fd)
        try:
            self._run = process.mmap(
                process.page_size, posix.PROT_READ | posix.PROT_WRITE, posix.MAP_SHARED, fd
            )
        except BaseException:
            super().close()
            raise

    def enable_cap(self, capability: int, *arguments: int) -> None:
        """KVM_ENABLE_CAP, with up to four arguments.

        - EINVAL: the capability cannot be enabled, or not with these arguments.
        """
        self.ioctl(_k.KVM_ENABLE_CAP, enable_cap_argument(capability, arguments))

    def queue(self, calls: Iterable[Sequence[int]]) -> None:
        """The guest makes these next: each a number and up to nine arguments.

        ValueError: a hypercall of more arguments.
        """
        self.process._queue_hypercalls(self.fd, [list(call) for call in calls])

    def run(self, *, timeout: float | None = None) -> _k.kvm_run | None:
        """KVM_RUN: the page that the kernel shares, with the hypercall that user space is to serve,
        or None when the guest has nothing left to do or was told to leave (EINTR).

        While another thread runs the vcpu this one sleeps: TimeoutError once it has slept
        `timeout` seconds.
        """
        try:
            request = _k.KVM_RUN.number(self.process.abi)
            self.process.ioctl(self.fd, request, timeout=timeout)
        except InterruptedError:
            return None
        return self.shared()

    def shared(self) -> _k.kvm_run:
        """A copy of the page that the kernel shares."""
        return _k.kvm_run.from_buffer_copy(self.process.peek(self._run, ctypes.sizeof(_k.kvm_run)))

    @property
    def immediate_exit(self) -> bool:
        """Set, `run()` leaves at once and the guest does nothing (`kvm_run.immediate_exit`)."""
        return bool(self.shared().immediate_exit)

    @immediate_exit.setter
    def immediate_exit(self, leave: bool) -> None:
        at = self._run + uapi.offset_of(_k.kvm_run, "immediate_exit")
        self.process.poke(at, bytes([bool(leave)]))

    def answer(self, r3: int, *registers: int) -> None:
        """Puts what the hypercall that run() left with returns into the shared page: r3, signed,
        then r4 to r12. The guest finds it with the next run()."""
        if len(registers) > _MOST_REGISTERS:
            raise TypeError(f"a hypercall returns r3 to r12, not {1 + len(registers)} registers")
        call = uapi.offset_of(_k.kvm_run, "papr_hcall")
        data = struct.pack(
            f"<q{len(registers)}Q",
            fit("r3", r3, -(1 << 63), (1 << 63) - 1),
            *(u64("registers", each) for each in registers),
        )
        ret = ctypes.sizeof(ctypes.c_uint64)
        self.process.poke(self._run + call + ret, data)

    def answers(self) -> list[HypercallAnswer]:
        """What came back to the guest since this was asked last."""
        return [
            HypercallAnswer(*answer) for answer in self.process._take_hypercall_answers(self.fd)
        ]

    @property
    def figures(self) -> HypercallFigures:
        """How many hypercalls of this vcpu were served where."""
        return HypercallFigures(*self.process._hypercall_figures(self.fd))

    def close(self) -> None:
        """Unmaps the shared page and closes the descriptor."""
        if self._open:
            self.process.munmap(self._run, self.process.page_size)
        super().close()
