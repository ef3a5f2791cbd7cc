# SPDX-License-Identifier: MIT
"""KVM as objects: /dev/kvm, a virtual machine, the devices that KVM emulates for it.

    with kvm.Kvm(process) as module, module.create_vm() as vm:
        with vm.create_device(uapi.kvm.KVM_DEV_TYPE_VFIO) as device:
            device.add_file(group.fd)

Each method is one ioctl and raises the `OSError` that the kernel answers with.
"""

from __future__ import annotations

import ctypes
import os
import struct
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

from . import uapi
from .descriptor import Descriptor

if TYPE_CHECKING:
    from .process import Process

__all__ = [
    "VM",
    "Device",
    "Guest",
    "HypercallAnswer",
    "HypercallFigures",
    "Kvm",
    "TceState",
    "TceTable",
    "Vcpu",
]

_k = uapi.kvm
papr = uapi.papr
_MAP_SHARED = 1
_PRIVATE_ANONYMOUS = 0x22
_READ_WRITE = 3


class Kvm(Descriptor):
    """/dev/kvm."""

    def __init__(self, process: Process) -> None:
        super().__init__(process, process.open("/dev/kvm", os.O_RDWR))

    def get_api_version(self) -> int:
        return self.ioctl(_k.KVM_GET_API_VERSION)

    def check_extension(self, capability: int) -> int:
        """0: not there, or not modelled."""
        return self.ioctl(_k.KVM_CHECK_EXTENSION, capability)

    def create_vm(self, type: int = 0) -> VM:
        """A virtual machine. OSError EINVAL: a type that this machine does not have."""
        return VM(self.process, self.ioctl(_k.KVM_CREATE_VM, type))


class VM(Descriptor):
    """A virtual machine. Calls from another process than its maker's are answered with EIO."""

    def check_extension(self, capability: int) -> int:
        return self.ioctl(_k.KVM_CHECK_EXTENSION, capability)

    def set_user_memory_region(
        self, slot: int, guest_phys_addr: int, address: int, size: int, *, flags: int = 0
    ) -> None:
        """Puts memory of the process behind guest addresses; size 0 deletes the slot.

        OSError: EINVAL not page aligned, no such slot, or what must stay is changed; EEXIST meets
        another slot.
        """
        self.ioctl(
            _k.KVM_SET_USER_MEMORY_REGION,
            _k.kvm_userspace_memory_region(
                slot=slot,
                flags=flags,
                guest_phys_addr=guest_phys_addr,
                memory_size=size,
                userspace_addr=address,
            ),
        )

    def create_device(self, type: int) -> Device:
        """A device that KVM emulates.

        OSError: ENODEV no such type; EBUSY a machine has one of this kind.
        """
        create = _k.kvm_create_device(type=type)
        self.ioctl(_k.KVM_CREATE_DEVICE, create)
        return Device(self.process, int(create.fd))

    def create_vcpu(self, id: int = 0) -> Vcpu:
        """A virtual processor, on POWER. OSError EINVAL: an id that is too large, or taken."""
        return Vcpu(self.process, self.ioctl(_k.KVM_CREATE_VCPU, id))

    def enable_hcall(self, number: int, enable: bool = True) -> None:
        """Has the kernel answer a hypercall, or user space. OSError EINVAL: the kernel cannot."""
        self.ioctl(
            _k.KVM_ENABLE_CAP,
            _k.kvm_enable_cap(cap=_k.KVM_CAP_PPC_ENABLE_HCALL, args=(number, int(enable), 0, 0)),
        )

    def create_spapr_tce(
        self, liobn: int, *, page_shift: int = 12, offset: int = 0, size: int
    ) -> TceTable:
        """The TCE table of a bus; `offset` and `size` in pages of 2**page_shift bytes.

        OSError: EBUSY the bus has one; EINVAL no such window; ENOMEM past RLIMIT_MEMLOCK.
        """
        create = _k.kvm_create_spapr_tce_64(
            liobn=liobn, page_shift=page_shift, offset=offset, size=size
        )
        fd = self.ioctl(_k.KVM_CREATE_SPAPR_TCE_64, create)
        return TceTable(self.process, fd, liobn, page_shift=page_shift, offset=offset, size=size)

    def tce_tables(self) -> list[TceState]:
        """What the guest's buses have in their tables, by their numbers.

        The kernel shows this nowhere; it is for people, and for tests that two ways come to the
        same.
        """
        return [TceState(*state) for state in self.process._tce_tables(self.fd)]

    def can_create_device(self, type: int) -> bool:
        """Whether KVM knows the type: KVM_CREATE_DEVICE_TEST, which makes nothing."""
        create = _k.kvm_create_device(type=type, flags=_k.KVM_CREATE_DEVICE_TEST)
        try:
            self.ioctl(_k.KVM_CREATE_DEVICE, create)
        except OSError:
            return False
        return True


class Device(Descriptor):
    """A device of a virtual machine, driven by attributes: a group, a number, an address.

    The address is one of the process's own memory.
    """

    def has_attr(self, group: int, attr: int) -> bool:
        try:
            self.ioctl(_k.KVM_HAS_DEVICE_ATTR, _k.kvm_device_attr(group=group, attr=attr))
        except OSError:
            return False
        return True

    def set_attr(self, group: int, attr: int, address: int) -> None:
        self.ioctl(_k.KVM_SET_DEVICE_ATTR, _k.kvm_device_attr(group=group, attr=attr, addr=address))

    def get_attr(self, group: int, attr: int, address: int) -> None:
        self.ioctl(_k.KVM_GET_DEVICE_ATTR, _k.kvm_device_attr(group=group, attr=attr, addr=address))

    def add_file(self, fd: int) -> None:
        """Tells the VFIO pseudo device of a group or a device that serves the machine.

        OSError: EBADF; EINVAL not VFIO's; EEXIST the same file was added.
        """
        self._file(_k.KVM_DEV_VFIO_FILE_ADD, fd)

    def del_file(self, fd: int) -> None:
        """Takes it back. OSError: EBADF; ENOENT it was never added."""
        self._file(_k.KVM_DEV_VFIO_FILE_DEL, fd)

    def set_spapr_tce(self, group_fd: int, table_fd: int) -> None:
        """Puts the group's hardware table that fits behind a guest's table, on POWER.

        OSError: EBADF; ENOENT the group was never added; EINVAL no window of the group fits.
        """
        both = group_fd.to_bytes(4, "little", signed=True) + table_fd.to_bytes(
            4, "little", signed=True
        )
        self._with(_k.KVM_DEV_VFIO_GROUP_SET_SPAPR_TCE, both)

    def _file(self, attr: int, fd: int) -> None:
        self._with(attr, fd.to_bytes(4, "little", signed=True))

    def _with(self, attr: int, argument: bytes) -> None:
        with self._memory(argument) as address:
            self.set_attr(_k.KVM_DEV_VFIO_FILE, attr, address)

    @contextmanager
    def _memory(self, data: bytes) -> Iterator[int]:
        """The address of `data` in the process's own memory."""
        address = self.process.mmap(len(data), _READ_WRITE, _PRIVATE_ANONYMOUS)
        try:
            self.process.poke(address, data)
            yield address
        finally:
            self.process.munmap(address, len(data))


class TceTable(Descriptor):
    """The TCEs that a guest sees for one bus: its descriptor can be mapped, and nothing else."""

    def __init__(
        self, process: Process, fd: int, liobn: int, *, page_shift: int, offset: int, size: int
    ) -> None:
        super().__init__(process, fd)
        self.liobn = liobn
        self.page_shift = page_shift
        self.offset = offset
        self.size = size

    def entries(self) -> tuple[int, ...]:
        """All entries, as the guest wrote them: a guest address and rights."""
        length = 8 * self.size
        address = self.process.mmap(length, 1, _MAP_SHARED, self.fd)
        try:
            return struct.unpack(f"<{self.size}Q", self.process.peek(address, length))
        finally:
            self.process.munmap(address, length)


class TceState(NamedTuple):
    """The table of a bus: `size` pages of 2**page_shift bytes from page `offset` on.

    `group` is the IOMMU group that the bus is linked to, None where KVM keeps the table. `entries`
    are those that are not 0, by their pages: what the guest wrote, or what the group's hardware
    has.
    """

    liobn: int
    group: int | None
    page_shift: int
    offset: int
    size: int
    entries: dict[int, int]

    def __str__(self) -> str:
        whose = "KVM's own" if self.group is None else f"of group {self.group}"
        lines = [
            f"bus {self.liobn:x}: a table {whose}, {self.size:#x} pages of 2^{self.page_shift} "
            f"bytes from page {self.offset:#x} on"
        ]
        for page, tce in self.entries.items():
            rights = ("r" if tce & papr.TCE_PCI_READ else "-") + (
                "w" if tce & papr.TCE_PCI_WRITE else "-"
            )
            lines.append(f"  {page << self.page_shift:016x} {rights} {tce & ~3:016x}")
        return "\n".join(lines)


class HypercallAnswer(NamedTuple):
    """What the guest found when a hypercall came back: r3 is signed."""

    number: int
    r3: int
    r4: int


class HypercallFigures(NamedTuple):
    """How many hypercalls were answered where.

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
        super().__init__(process, fd)
        self._run = process.mmap(process.page_size, 3, _MAP_SHARED, fd)

    def queue(self, calls: Iterable[Sequence[int]]) -> None:
        """The guest makes these next: each a number and up to nine arguments."""
        self.process._queue_hypercalls(self.fd, [list(call) for call in calls])

    def run(self, *, timeout: float | None = None) -> _k.kvm_run | None:
        """KVM_RUN: what user space is to answer, or None when the guest has nothing left to do.

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

    def answer(self, r3: int, *registers: int) -> None:
        """Answers the hypercall that run() gave: r3, then r4 and so on."""
        call = _k.kvm_run.papr_hcall.offset
        data = struct.pack("<q", r3) + struct.pack(f"<{len(registers)}Q", *registers)
        ret = ctypes.sizeof(ctypes.c_uint64)
        self.process.poke(self._run + call + ret, data)

    def answers(self) -> list[HypercallAnswer]:
        """What came back to the guest since this was asked last."""
        return [
            HypercallAnswer(*answer) for answer in self.process._take_hypercall_answers(self.fd)
        ]

    @property
    def figures(self) -> HypercallFigures:
        return HypercallFigures(*self.process._hypercall_figures(self.fd))

    def close(self) -> None:
        if self._open:
            self.process.munmap(self._run, self.process.page_size)
        super().close()


class Guest:
    """A POWER guest of one vcpu that makes one hypercall after the other.

    Nobody answers those that are left to user space: they come back as H_TOO_HARD.
    """

    def __init__(self, process: Process, vm: int, address: int, size: int) -> None:
        machine = VM(process, vm)
        machine.set_user_memory_region(0, 0, address, size)
        self._vcpu = machine.create_vcpu()
        self._vcpu.ioctl(_k.KVM_ENABLE_CAP, _k.kvm_enable_cap(cap=_k.KVM_CAP_PPC_PAPR))

    def hcall(self, number: int, arguments: Sequence[int]) -> tuple[int, int] | None:
        """r3 and r4, or None: the kernel left it to user space."""
        self._vcpu.queue([(number, *arguments)])
        if self._vcpu.run() is not None:
            self._vcpu.answer(papr.H_TOO_HARD)
            return None
        answer = self._vcpu.answers()[-1]
        return answer.r3, answer.r4
