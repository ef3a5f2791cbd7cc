# SPDX-License-Identifier: MIT
"""A small VMM for a POWER guest: it answers the TCE hypercalls that KVM leaves to user space.

That is the long way: guest, KVM, user space, VFIO_IOMMU_MAP_DMA, KVM again. A bus whose table is
KVM's own and stands before a group's hardware table goes the short way, in the kernel.

    vmm = Vmm(vm, vcpu, ram_address, ram_size)
    vmm.add_bus(Bus(0x80000001, container, start=0, page_shift=16, size=0x1000))
    answers = vmm.run([(papr.H_PUT_TCE, 0x80000001, 0x30000, 0x10003)])
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence

from . import uapi
from .kvm import VM, HypercallAnswer, Vcpu
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
        self.liobn = liobn
        self.container = container
        self.start = start
        self.page_shift = page_shift
        self.size = size
        self.tces: dict[int, int] = {}

    def page(self, ioba: int, count: int) -> int | None:
        """The page of a bus address, if it is aligned and `count` pages are in the window."""
        first, rest = divmod(ioba - self.start, 1 << self.page_shift)
        return first if rest == 0 and first >= 0 and first + count <= self.size else None


class Vmm:
    """Runs one vcpu. `address` is the guest's memory in the process, `size` bytes from 0 on."""

    def __init__(self, vm: VM, vcpu: Vcpu, address: int, size: int) -> None:
        self.vm = vm
        self.vcpu = vcpu
        self.address = address
        self.size = size
        self.buses: dict[int, Bus] = {}

    def add_bus(self, bus: Bus) -> None:
        self.buses[bus.liobn] = bus

    def run(self, calls: Iterable[Sequence[int]]) -> list[HypercallAnswer]:
        """Has the guest make these hypercalls, answers those that are user space's, and says what
        the guest found."""
        self.vcpu.queue(calls)
        while (shared := self.vcpu.run()) is not None:
            call = shared.papr_hcall
            self.vcpu.answer(*self.answer(int(call.nr), [int(each) for each in call.args]))
        return self.vcpu.answers()

    def answer(self, number: int, arguments: Sequence[int]) -> tuple[int, ...]:
        """r3, and r4 where the hypercall has one."""
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
        if pages > _MOST_ENTRIES or where % _LIST_ALIGNMENT or where + 8 * pages > self.size:
            return int(_p.H_PARAMETER)
        data = self.vm.process.peek(self.address + where, 8 * pages)
        return self._put(bus, ioba, struct.unpack(f">{pages}Q", data))

    def _put(self, bus: Bus, ioba: int, values: Sequence[int]) -> int:
        """All entries, or none when one of them cannot be: H_PARAMETER, or H_HARDWARE from VFIO."""
        first = bus.page(ioba, len(values))
        page_size = 1 << bus.page_shift
        if first is None:
            return int(_p.H_PARAMETER)
        for value in values:
            guest = value & ~_RIGHTS
            if value & _RIGHTS and (guest % page_size or guest + page_size > self.size):
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
        """Maps or unmaps one page. OSError: what VFIO answers, and nothing was done."""
        iova, size = bus.start + (page << bus.page_shift), 1 << bus.page_shift
        if value & _RIGHTS:
            bus.container.map_dma(
                iova,
                self.address + (value & ~_RIGHTS),
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
