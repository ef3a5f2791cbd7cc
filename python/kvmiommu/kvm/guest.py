# SPDX-License-Identifier: MIT
"""A POWER guest: memory of the process behind its addresses, and a vcpu that makes hypercalls."""

from __future__ import annotations

import errno
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from .. import uapi
from .._shown import Printer
from ..descriptor import Closing
from ..strace import hypercall_name
from .vcpu import HypercallAnswer, HypercallFigures

if TYPE_CHECKING:
    from .._core import ReadableBuffer
    from .vm import VM

__all__ = ["Guest", "Hypercall", "TranscriptGuest"]

_k = uapi.kvm
_p = uapi.papr


class Hypercall(NamedTuple):
    """A hypercall that KVM leaves to user space (KVM_EXIT_PAPR_HCALL): r3, and r4 to r12."""

    number: int
    arguments: tuple[int, ...]

    def __repr__(self) -> str:
        arguments = ", ".join(f"{each:#x}" for each in self.arguments)
        return f"Hypercall({hypercall_name(self.number)}, ({arguments}))"

    def _repr_pretty_(self, printer: Printer, cycle: bool) -> None:
        printer.text(repr(self))


class Guest(Closing):
    """A guest of one vcpu whose memory from 0 on is [address, address + size) of the process.

        with kvm.Guest(vm, ram, size) as guest:
            guest.queue((papr.H_PUT_TCE, liobn, 0x30000, 0x50003))
            while (call := guest.run()) is not None:
                guest.answer(papr.H_FUNCTION)
            print(guest.answers())

    Making one is KVM_SET_USER_MEMORY_REGION for `slot`, KVM_CREATE_VCPU, and KVM_ENABLE_CAP with
    KVM_CAP_PPC_PAPR, and raises what `VM.set_user_memory_region`, `VM.create_vcpu` and
    `Vcpu.enable_cap` raise. Closing it closes the vcpu; the virtual machine and its memory stay.
    """

    def __init__(self, vm: VM, address: int, size: int, *, slot: int = 0, vcpu_id: int = 0) -> None:
        self.vm = vm
        self.address = address
        self.size = size
        vm.set_user_memory_region(slot, 0, address, size)
        self.vcpu = vm.create_vcpu(vcpu_id)
        try:
            self.vcpu.enable_cap(_k.KVM_CAP_PPC_PAPR)
        except BaseException:
            self.vcpu.close()
            raise

    # --- memory ---

    def read(self, address: int, length: int) -> bytes:
        """The bytes at a guest address. ValueError: not all of them are the guest's memory."""
        return self.vm.process.peek(self._at(address, length), length)

    def write(self, address: int, data: ReadableBuffer) -> None:
        """Stores `data` at a guest address. ValueError: not all of it is the guest's memory."""
        self.vm.process.poke(self._at(address, memoryview(data).nbytes), data)

    def _at(self, address: int, length: int) -> int:
        if not 0 <= address <= address + length <= self.size:
            raise ValueError(
                f"{length:#x} bytes at guest address {address:#x}: the guest's memory is "
                f"{self.size:#x} bytes"
            )
        return self.address + address

    # --- hypercalls ---

    def queue(self, *calls: Sequence[int]) -> None:
        """The guest makes these next: each a number and up to nine arguments.

        ValueError: a hypercall of more arguments.
        """
        self.vcpu.queue(calls)

    def run(self, *, timeout: float | None = None) -> Hypercall | None:
        """KVM_RUN: the hypercall that user space is to serve, or None when the guest has nothing
        left to do or was told to leave. TimeoutError: as `Vcpu.run`."""
        shared = self.vcpu.run(timeout=timeout)
        if shared is None:
            return None
        call = shared.papr_hcall
        return Hypercall(int(call.nr), tuple(int(each) for each in call.args))

    def answer(self, r3: int, *registers: int) -> None:
        """What the hypercall that run() left with returns: r3, signed, then r4 and so on."""
        self.vcpu.answer(r3, *registers)

    def answers(self) -> list[HypercallAnswer]:
        """What came back to the guest since this was asked last."""
        return self.vcpu.answers()

    def hcall(self, number: int, *arguments: int) -> HypercallAnswer | None:
        """Makes one hypercall: what came back, or None when KVM left it to user space; the guest is
        then answered H_TOO_HARD.

        Nothing else may be queued. InterruptedError: `Vcpu.immediate_exit` is set.
        """
        self.queue((number, *arguments))
        left = False
        while self.run() is not None:
            left = True
            self.answer(_p.H_TOO_HARD)
        answers = self.answers()
        if not answers:
            raise InterruptedError(errno.EINTR, "immediate_exit is set: the hypercall stays queued")
        return None if left else answers[-1]

    @property
    def figures(self) -> HypercallFigures:
        """How many of its hypercalls were served where."""
        return self.vcpu.figures

    # --- end ---

    def close(self) -> None:
        """Closes the vcpu; no error if it is closed."""
        self.vcpu.close()

    def __repr__(self) -> str:
        return f"<Guest with {self.size:#x} bytes at {self.address:#x}, {self.vcpu!r}>"


class TranscriptGuest:
    """A guest as the player of transcripts takes it."""

    def __init__(self, guest: Guest) -> None:
        self._guest = guest

    def hcall(self, number: int, arguments: Sequence[int]) -> tuple[int, int] | None:
        """r3 and r4, or None: left to user space."""
        answer = self._guest.hcall(number, *arguments)
        return answer and (answer.r3, answer.r4)
