# SPDX-License-Identifier: MIT
"""Hypercalls that put TCEs, three ways: a dictionary, the kernel alone, and user space for each.

One program of hypercalls runs on two machines. On one the guest's table is KVM's and stands before
a hardware table; on the other every hypercall leaves to a VMM, which maps by ioctl. The guest must
find the same answers, and the hardware the same entries.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvmiommu import System, kvm, machine
from kvmiommu.kvm import Kvm, TceTable
from kvmiommu.spapr import SpaprContainer
from kvmiommu.uapi import kvm as k
from kvmiommu.uapi.papr import (
    H_GET_TCE,
    H_PARAMETER,
    H_PUT_TCE,
    H_PUT_TCE_INDIRECT,
    H_STUFF_TCE,
    H_SUCCESS,
)
from kvmiommu.vfio import Group
from kvmiommu.vmm import Bus, Vmm

RAM = 1 << 20
LIOBN = 0x80000001
PAGES = 64  # of the guest's window: small, so that programs meet its end
LIST = 0xF0000  # where the guest keeps lists
RIGHTS = 0x3
#: Machine, page shift of the guest's table, page shift of the hardware's.
SHAPES = [("powernv9", 16, 16), ("powernv9", 16, 12), ("pseries", 16, 16), ("powernv9-4k", 12, 12)]


@dataclass(frozen=True)
class Call:
    """`page` and the guest pages of `tces` in pages of the table; `skew` is added to the ioba."""

    number: int
    page: int
    skew: int
    tces: tuple[tuple[int, int], ...]  # guest page, rights


frames = st.integers(0, 15)
tces = st.tuples(frames, st.sampled_from((0, 0, 1, 2, 3, 3)))
pages = st.one_of(st.integers(0, PAGES - 1), st.sampled_from((PAGES - 1, PAGES, PAGES + 1)))
skews = st.sampled_from((0, 0, 0, 0, 8))
calls = st.one_of(
    st.builds(Call, st.sampled_from((H_PUT_TCE, H_GET_TCE)), pages, skews, st.tuples(tces)),
    st.builds(
        Call, st.just(H_STUFF_TCE), pages, skews, st.lists(st.just((0, 0)), max_size=9).map(tuple)
    ),
    st.builds(
        Call, st.just(H_PUT_TCE_INDIRECT), pages, skews, st.lists(tces, max_size=9).map(tuple)
    ),
)


class Side:
    """A guest on a machine, its RAM registered, with a window of its own."""

    def __init__(self, system: System, guest_shift: int, shift: int, *, in_kernel: bool) -> None:
        self.system = system
        self.shift = guest_shift
        self.process = system.process()
        self.ram = self.process.mmap(RAM, 3, 0x22, align=2 << 20)
        self.vm = Kvm(self.process).create_vm()
        guest = kvm.Guest(self.vm, self.ram, RAM)
        self.container = SpaprContainer(self.process)
        group = Group(self.process, 1)
        group.set_container(self.container)
        self.container.set_iommu()
        self.container.remove_window(0)
        self.container.register_memory(self.ram, RAM)
        start = self.container.create_window(shift, 1 << 28)
        self.table: TceTable | None = None
        if in_kernel:
            for number in (H_STUFF_TCE, H_PUT_TCE_INDIRECT):
                self.vm.enable_hcall(number)
            self.table = self.vm.create_spapr_tce(
                LIOBN, page_shift=guest_shift, offset=start >> guest_shift, size=PAGES
            )
            device = self.vm.create_device(k.KVM_DEV_TYPE_VFIO)
            device.add_file(group)
            device.set_spapr_tce(group, self.table)
        self.start = start
        self.vmm = Vmm(guest)
        self.vmm.add_bus(Bus(LIOBN, self.container, start, guest_shift, PAGES))

    def run(self, call: Call) -> tuple[int, int]:
        """r3, and r4 of what is read."""
        ioba = self.start + (call.page << self.shift) + call.skew
        values = [guest << self.shift | rights for guest, rights in call.tces]
        match call.number:
            case _ if call.number == H_PUT_TCE_INDIRECT:
                data = struct.pack(f">{len(values)}Q", *values)
                self.process.poke(self.ram + LIST, data)
                arguments = [LIOBN, ioba, LIST, len(values)]
            case _ if call.number == H_STUFF_TCE:
                arguments = [LIOBN, ioba, 0, len(values)]
            case _:
                arguments = [LIOBN, ioba, *values]
        answer = self.vmm.run([(call.number, *arguments)])[-1]
        return answer.r3, answer.r4 if call.number == H_GET_TCE and answer.r3 == 0 else 0

    def hardware(self) -> list[int]:
        """The entries behind the guest's window, their addresses counted from the guest's RAM."""
        window = self.system.windows(1)[0]
        assert window is not None
        count = PAGES << (self.shift - window.page_shift)
        entries = self.system.tces(1, 0, 0, count)
        if self.base is None:
            return entries
        return [each and (each - self.base) for each in entries]

    base: int | None = None

    def find_base(self) -> None:
        """The RAM lies in one piece: the entry of guest address 0 tells where."""
        assert self.run(Call(H_PUT_TCE, 0, 0, ((0, 3),)))[0] == H_SUCCESS
        self.base = self.hardware()[0] & ~RIGHTS
        assert self.run(Call(H_PUT_TCE, 0, 0, ((0, 0),)))[0] == H_SUCCESS


@contextmanager
def sides(name: str, guest_shift: int, shift: int) -> Iterator[list[Side]]:
    description = replace(
        machine.load(name),
        kernel="6.12.117",
        fixed=("spapr-indirect-maps-without-rights", "spapr-unregister-while-mapped"),
    )
    with System(description) as one, System(description) as other:
        both = [
            Side(one, guest_shift, shift, in_kernel=True),
            Side(other, guest_shift, shift, in_kernel=False),
        ]
        for side in both:
            side.find_base()
        yield both


def expected(entries: dict[int, int], call: Call, shift: int) -> tuple[int, int]:
    """What the dictionary says, and becomes."""
    reads = call.number in (H_PUT_TCE, H_GET_TCE)
    count = 1 if reads else len(call.tces)
    if call.skew or call.page + count > PAGES:
        return H_PARAMETER, 0
    if call.number == H_GET_TCE:
        return H_SUCCESS, entries.get(call.page, 0)
    for page, (guest, rights) in enumerate(call.tces, call.page):
        entries[page] = guest << shift | rights
    return H_SUCCESS, 0


def in_hardware(
    entries: dict[int, int], shift: int, hardware_shift: int, *, power: bool
) -> list[int]:
    """A guest's page is several of the hardware's; bare metal reads wherever it writes."""
    subpages = 1 << (shift - hardware_shift)
    hardware = []
    for page in range(PAGES):
        entry = entries.get(page, 0)
        rights = entry & RIGHTS
        if power and rights & 2:
            rights |= 1
        for sub in range(subpages):
            address = (entry & ~RIGHTS) + (sub << hardware_shift)
            hardware.append(address | rights if rights else 0)
    return hardware


@pytest.mark.parametrize(("name", "guest_shift", "shift"), SHAPES)
@given(program=st.lists(calls, max_size=20))
def test_the_long_and_the_short_way_are_one(
    name: str, guest_shift: int, shift: int, program: list[Call]
) -> None:
    with sides(name, guest_shift, shift) as both:
        entries: dict[int, int] = {}
        before = [side.system.pinned_frames for side in both]
        for call in program:
            found = expected(entries, call, guest_shift)
            for side in both:
                assert side.run(call) == found
        hardware = in_hardware(entries, guest_shift, shift, power="powernv" in name)
        for side in both:
            assert side.hardware() == hardware
        assert [side.system.pinned_frames for side in both] == before
        fast, slow = both
        assert fast.table is not None
        assert fast.table.entries() == tuple(entries.get(page, 0) for page in range(PAGES))
        assert fast.vmm.vcpu.figures.user == 0
        assert slow.vmm.vcpu.figures.kernel == 0
        mapped = any(entry & RIGHTS for entry in entries.values())
        for side in both:
            if mapped:
                with pytest.raises(OSError, match="entries lead to the region"):
                    side.container.unregister_memory(side.ram, RAM)
            else:
                side.container.unregister_memory(side.ram, RAM)
                assert side.system.pinned_frames == 0
