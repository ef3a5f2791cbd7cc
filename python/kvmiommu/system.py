# SPDX-License-Identifier: MIT
"""A running machine."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Literal, TypeAlias

from . import _core, strace, uapi
from . import machine as machines
from ._observers import MOST_OBSERVED, observers
from ._shown import Hex, Printer, shown
from .errors import LeakError
from .machine import Machine
from .pci import DeviceModel, made_from
from .process import Process
from .ranges import Range
from .recording import Recorder, RecordingProcess
from .spapr import Window

#: The machines that come with the package.
MachineName: TypeAlias = Literal[
    "powernv9",
    "powernv9-4k",
    "pseries",
    "pseries-4k",
    "q35-amd",
    "q35-amd-7.2",
    "q35-intel",
    "q35-intel-7.2",
    "q35-virtio",
    "virt-riscv",
    "virt-smmuv3",
    "virt-smmuv3-16k",
    "virt-smmuv3-64k",
    "virt-smmuv3-7.2",
    "virt-smmuv3-s2",
    "virt-smmuv3-s2-7.2",
]

__all__ = ["DmaFault", "IotlbFigures", "StaleUse", "System", "TraceRecord"]


@dataclass(frozen=True, slots=True, repr=False)
class TraceRecord:
    """One call as the trace keeps it; as a text it is what strace prints (`kvmiommu.strace`).

    `result` is the call's value, or the negative errno, `refusal` the reason of it. `file` is the
    kind of the file that the call is made on, "" for none, `path` the path of an open or the name
    of a memfd. `before` and `after` are the argument block of an ioctl, or the data that was
    written or read, as far as they were Python's: 256 bytes of them.
    """

    sequence: int
    task: int
    call: str
    arguments: tuple[int, ...]
    result: int
    refusal: str | None
    file: str = ""
    path: str = ""
    before: bytes = b""
    after: bytes = b""
    #: How the machine's processes encode requests.
    abi: uapi.Abi = "generic"

    def __str__(self) -> str:
        call = strace.call_text(
            self.call,
            self.arguments,
            abi=self.abi,
            file=self.file,
            path=self.path,
            before=self.before or None,
            after=self.after or None,
        )
        result = strace.result_text(self.call, self.result, abi=self.abi)
        # The errno stands in the result.
        why = f"  {self.refusal.partition(': ')[2]}" if self.refusal else ""
        return f"{self.sequence:6} [{self.task}] {call} = {result}{why}"

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {str(self).strip()}>"

    def _repr_pretty_(self, printer: Printer, cycle: bool) -> None:
        printer.text(repr(self))


@shown
@dataclass(frozen=True, slots=True, repr=False)
class DmaFault:
    """An access of a device that did not get through. `iova` is the first byte it could not reach.

    `access` is "read" (the device reads memory) or "write", `cause` is "not mapped", "not
    permitted", "blocked" (nobody attached the device's group to an address space), "bus master off"
    (the function's command register forbids DMA) or "no memory".
    """

    sequence: int
    device: str
    iova: Hex
    access: str
    cause: str

    def __str__(self) -> str:
        return f"{self.sequence:6} {self.device} {self.access} {self.iova:#x}: {self.cause}"


@shown
@dataclass(frozen=True, slots=True, repr=False)
class StaleUse:
    """A device used a translation that was unmapped already and not yet invalidated.

    `access` is "read" (the device reads memory) or "write". `unmap` counts the unmaps of the system
    from 1, `unmapped` is the range that this one took.
    """

    sequence: int
    device: str
    iova: Hex
    access: str
    unmap: int
    unmapped: Range

    def __str__(self) -> str:
        return (
            f"{self.sequence:6} {self.device} {self.access} {self.iova:#x}: unmap {self.unmap} of "
            f"{self.unmapped} is not invalidated yet"
        )


@dataclass(frozen=True, slots=True)
class IotlbFigures:
    """What the IOTLBs of a system have done; `queued` unmaps wait for their invalidation now."""

    hits: int
    misses: int
    stale_uses: int
    invalidations: int
    queued: int


class System(_core.System):
    """An emulated machine: its memory, its IOMMUs, its devices, and the processes that run on it.

    A machine belongs to the process of the host that made it: in a child of `os.fork()` every call
    of it, of its processes and of its models raises OSError EIO, and the parent's machine stays as
    it is whatever the child does. A machine that the child makes is the child's.

    `machine` is the name of a machine that comes with the package (`kvmiommu.machine.names()`), the
    path of a description, or a `kvmiommu.machine.Machine`. Systems share nothing: any number of
    them live side by side in one Python process, and each may be used from several threads.

        with System("q35-intel") as system:
            process = system.process()
            container = process.open("/dev/vfio/vfio", os.O_RDWR)

    `models` puts device models of one's own (`kvmiommu.pci`) in the place of functions of the
    machine: their addresses, and what makes a model.

    With `record` the calls of its processes are recorded from the start (`transcript`).

    Raises `kvmiommu.machine.MachineError` for a description that is not right, `OSError` when the
    host has no room.
    """

    def __init__(
        self,
        machine: MachineName | str | Path | Machine = "q35-intel",
        *,
        models: Mapping[str, Callable[[], DeviceModel]] | None = None,
        record: bool = False,
    ) -> None:
        if isinstance(machine, Machine):
            machines.check(machine)
        else:
            machine = machines.load(machine)
        self.machine = machine
        #: The device models of one's own, by the addresses of their functions.
        self.models = made_from(models or {})
        self._recorder = (
            Recorder(
                self.machine.name,
                self.machine.abi,
                list(self.models),
                most=None if record else MOST_OBSERVED,
            )
            if record or any(observer.records for observer in observers)
            else None
        )
        super().__init__(_description(self.machine, self.models))
        for observer in observers:
            observer.made(self)

    def process(self) -> Process:
        """A new process: user 0 with all capabilities, no limit but RLIMIT_NOFILE (1024)."""
        if self._recorder is not None:
            return RecordingProcess(self, self._recorder)
        return Process(self)

    def transcript(self) -> str:
        """The calls of the first process so far, as a transcript that can be replayed.

        `kvmiommu.recording` says what becomes a comment in it. Raises ValueError where nothing is
        recorded: make the machine with `record=True`.
        """
        if self._recorder is None:
            raise ValueError(f"{self!r} records nothing: make it with record=True")
        return self._recorder.transcript()

    def close(self) -> None:  # type: ignore[override]
        """Lets every process exit.

        Raises what a device model raised where no call was there to raise it, or else LeakError
        when something is still referenced: in a right emulator nothing is.
        """
        if alive := self._close():
            raise LeakError(repr(self), alive)

    def _close(self) -> list[str]:
        for observer in observers:
            observer.closing(self)
        return super().close()

    def trace(self) -> list[TraceRecord]:  # type: ignore[override]
        """The last calls, the oldest first, as many as `keep_trace(records)` asked to keep."""
        abi = self.machine.abi
        return [TraceRecord(*record, abi=abi) for record in super().trace()]

    def dma_faults(self) -> list[DmaFault]:  # type: ignore[override]
        """The last accesses of devices that were refused, the oldest first."""
        return [DmaFault(*fault) for fault in super().dma_faults()]

    def iotlb(self) -> IotlbFigures:  # type: ignore[override]
        """What the IOTLBs have done so far."""
        return IotlbFigures(*super().iotlb())

    def stale_uses(self) -> list[StaleUse]:  # type: ignore[override]
        """Uses of translations that were unmapped already, the oldest first; 1024 are kept.

        There are some only where invalidations wait: with the option `iommu.strict` = false, until
        a queue is full or `flush_iotlb()` says that its time has come.
        """
        return [StaleUse(*use[:5], Range(*use[5])) for use in super().stale_uses()]

    def __enter__(self) -> System:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        where: TracebackType | None,
    ) -> None:
        if error is None:
            self.close()
        else:
            try:
                self._close()  # what went wrong is more telling than what it left behind
            except Exception as later:
                error.add_note(f"Closing {self!r} raised {later!r}")

    def __repr__(self) -> str:
        return f"<System {self.machine.name}>"

    def windows(self, group: int) -> list[Window | None]:  # type: ignore[override]
        """The windows of an IOMMU group on POWER, by their numbers; none for other groups."""
        return [each and Window(*each) for each in super().windows(group)]


def _description(machine: Machine, models: Mapping[str, DeviceModel]) -> _core.Description:
    """The description as the core takes it."""
    if unknown := models.keys() - {function.address for function in machine.pci}:
        raise ValueError(f"{machine.name} has no PCI function {', '.join(sorted(unknown))}")
    description = _core.Description()
    description.name = machine.name
    description.page_size = machine.page_size
    description.memory = machine.memory
    description.memory_start = machine.memory_start
    description.fragmentation = machine.fragmentation or 0
    description.has_vfio = machine.modules.vfio
    description.has_kvm = machine.modules.kvm
    description.firmware = machine.firmware
    description.set_platform(machine.arch, machine.interfaces)
    description.set_semantics(
        machines.SEMANTICS.index(machine.semantics),
        machines.ATTACH_AFTER_MAP.index(machine.attach_after_map),
    )
    description.iommu_strict = bool(machine.options["iommu.strict"])
    for bug in machine.does_without():
        description.add_fixed(bug)
    for proposal in machine.proposals:
        description.add_proposal(proposal)
    options = machine.options
    description.set_vfio_options(
        dma_entry_limit=int(options["vfio_iommu_type1.dma_entry_limit"]),
        disable_hugepages=bool(options["vfio_iommu_type1.disable_hugepages"]),
        allow_unsafe_interrupts=bool(options["vfio_iommu_type1.allow_unsafe_interrupts"]),
        enable_unsafe_noiommu_mode=bool(options["vfio.enable_unsafe_noiommu_mode"]),
    )
    for iommu in machine.iommus:
        description.add_iommu(
            name=iommu.name,
            driver=iommu.driver,
            address_width=iommu.address_width,
            page_sizes=iommu.pgsize_bitmap,
            enforces_cache_coherency=iommu.enforce_cache_coherency,
            isolated_msi=iommu.isolated_msi,
            dirty_tracking=iommu.dirty_tracking,
            stage=iommu.stage,
            window_size=iommu.window_size,
            table_levels=iommu.table_levels,
            eeh=iommu.eeh,
        )
        for region in iommu.reserved:
            description.add_reserved(start=region.start, last=region.last, type=region.type)
    for function in machine.pci:
        description.add_pci(
            address=function.address,
            model=function.model,
            driver=function.driver,
            iommu=function.iommu or "",
            group=function.group,
            bars=list(function.bars) if function.address not in models else [],
            interrupt_line=function.interrupt_line,
            hardware=models.get(function.address),
        )
        for region in function.reserved:
            description.add_pci_reserved(start=region.start, last=region.last, type=region.type)
    for device in machine.emulated:
        description.add_emulated(name=device.name, group=device.group)
    return description
