# SPDX-License-Identifier: MIT
"""A small VMM for a POWER guest: it serves the TCE hypercalls that KVM leaves to user space.

That is the long way: guest, KVM, user space, VFIO_IOMMU_MAP_DMA, KVM again. A bus whose table is
KVM's own and stands before a group's hardware table goes the short way, in the kernel.

    vmm = Vmm(kvm.Guest(vm, ram_address, ram_size))
    vmm.add_bus(Bus(0x80000001, container, start=0, page_shift=16, size=0x1000))
    answers = vmm.run([(papr.H_PUT_TCE, 0x80000001, 0x30000, 0x10003)])
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence

from . import uapi
from .arguments import u64
from .kvm import Guest, HypercallAnswer, Vcpu
from .spapr import SpaprContainer

__all__ = ["Bus", "Vmm"]

_p = uapi.papr
_RIGHTS = _p.TCE_PCI_READ | _p.TCE_PCI_WRITE
_MOST_ENTRIES = 512
_LIST_ALIGNMENT = 4096


class Bus:
    """A bus whose TCEs user space keeps: `size` pages of 2**page_shift bytes from `start` on.

    `tces` are the entries as the guest wrote them, by their pages; those that are 0 are left out.
    """

    def __init__(
        self, liobn: int, container: SpaprContainer, start: int, page_shift: int, size: int
    ) -> None:
        self.liobn = u64("liobn", liobn)
        self.container = container
        self.start = start
        self.page_shift = page_shift
        self.size = size
        self.tces: dict[int, int] = {}

    def page(self, ioba: int, count: int) -> int | None:
        """The page of a bus address, if it is aligned and `count` pages are in the window."""
        first, rest = divmod(ioba - self.start, 1 << self.page_shift)
        return first if rest == 0 and first >= 0 and first + count <= self.size else None

    def __repr__(self) -> str:
        return (
            f"<Bus {self.liobn:#x}: {self.size:#x} pages of 2^{self.page_shift} bytes from "
            f"{self.start:#x} on>"
        )


class Vmm:
    """Runs a guest, and serves what the buses that it knows leave to user space."""

    def __init__(self, guest: Guest) -> None:
        self.guest = guest
        self.buses: dict[int, Bus] = {}

    @property
    def vcpu(self) -> Vcpu:
        """The guest's."""
        return self.guest.vcpu

    def add_bus(self, bus: Bus) -> None:
        """Serves the hypercalls for a bus from now on."""
        self.buses[bus.liobn] = bus

    def run(self, calls: Iterable[Sequence[int]]) -> list[HypercallAnswer]:
        """Has the guest make these hypercalls, serves those that are user space's, and returns what
        the guest found."""
        self.guest.queue(*calls)
        while (call := self.guest.run()) is not None:
            self.guest.answer(*self.answer(call.number, call.arguments))
        return self.guest.answers()

    def answer(self, number: int, arguments: Sequence[int]) -> tuple[int, ...]:
        """What a hypercall returns: r3, and r4 where it has one."""
        liobn, ioba, value, pages = arguments[:4]
        bus = self.buses.get(liobn)
        match number:
            case _p.H_PUT_TCE | _p.H_GET_TCE | _p.H_STUFF_TCE | _p.H_PUT_TCE_INDIRECT:
                if bus is None:
                    return (_p.H_PARAMETER,)
            case _:
                return (_p.H_FUNCTION,)
        match number:
            case _p.H_PUT_TCE:
                return (self._put(bus, ioba, [value]),)
            case _p.H_STUFF_TCE:
                if value & _RIGHTS:
                    return (_p.H_PARAMETER,)
                return (self._put(bus, ioba, [value] * min(pages, bus.size + 1)),)
            case _p.H_PUT_TCE_INDIRECT:
                return (self._put_indirect(bus, ioba, value, pages),)
            case _:
                page = bus.page(ioba, 1)
                return (_p.H_PARAMETER,) if page is None else (_p.H_SUCCESS, bus.tces.get(page, 0))

    def _put_indirect(self, bus: Bus, ioba: int, where: int, pages: int) -> int:
        if pages > _MOST_ENTRIES or where % _LIST_ALIGNMENT or where + 8 * pages > self.guest.size:
            return int(_p.H_PARAMETER)
        data = self.guest.read(where, 8 * pages)
        return self._put(bus, ioba, struct.unpack(f">{pages}Q", data))

    def _put(self, bus: Bus, ioba: int, values: Sequence[int]) -> int:
        """All entries, or none when one of them cannot be: H_PARAMETER, or H_HARDWARE from VFIO."""
        first = bus.page(ioba, len(values))
        page_size = 1 << bus.page_shift
        if first is None:
            return int(_p.H_PARAMETER)
        for value in values:
            guest = value & ~_RIGHTS
            if value & _RIGHTS and (guest % page_size or guest + page_size > self.guest.size):
                return int(_p.H_PARAMETER)
        before: list[tuple[int, int]] = []
        try:
            for page, value in enumerate(values, first):
                old = bus.tces.get(page, 0)
                self._set(bus, page, value)
                before.append((page, old))
        except OSError:
            for page, old in reversed(before):
                self._set(bus, page, old)
            return int(_p.H_HARDWARE)
        return int(_p.H_SUCCESS)

    def _set(self, bus: Bus, page: int, value: int) -> None:
        """Maps or unmaps one page. OSError: VFIO refused, and nothing was done."""
        iova, size = bus.start + (page << bus.page_shift), 1 << bus.page_shift
        if value & _RIGHTS:
            bus.container.map_dma(
                iova,
                self.guest.address + (value & ~_RIGHTS),
                size,
                read=bool(value & _p.TCE_PCI_READ),
                write=bool(value & _p.TCE_PCI_WRITE),
            )
        elif bus.tces.get(page, 0) & _RIGHTS:
            bus.container.unmap_dma(iova, size)
        if value:
            bus.tces[page] = value
        else:
            bus.tces.pop(page, None)
