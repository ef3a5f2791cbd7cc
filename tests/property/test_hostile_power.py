# SPDX-License-Identifier: MIT
"""Any call of POWER's with any numbers: nothing but OSError and MemoryFault, nothing left over."""

from __future__ import annotations

import contextlib
import struct
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvmiommu import MemoryFault, System, kvm_2013, machine
from kvmiommu.descriptor import Descriptor
from kvmiommu.kvm import Kvm
from kvmiommu.spapr import SpaprContainer
from kvmiommu.uapi import kvm as k
from kvmiommu.uapi import kvm_2013 as p
from kvmiommu.uapi import papr, vfio
from kvmiommu.vfio import Group

RAM = 1 << 20
LIOBNS = (1, 2, 0x123456789ABCDEF0)
ALL_FIXED = (
    "spapr-check-answers-one",
    "spapr-unregister-while-mapped",
    "spapr-failed-window-stays-charged",
    "spapr-removed-window-stays-attached",
    "spapr-indirect-maps-without-rights",
    "spapr-only-first-page-checked",
)
MACHINES = [
    ("powernv9", ()),
    ("powernv9", ALL_FIXED),
    ("powernv9-4k", ALL_FIXED),
    ("pseries", ()),
    ("pseries", ALL_FIXED),
    ("pseries-4k", ()),
]

_EDGES = [0, 1, 12, 16, 59, 64, 2**12, 2**16, 2**28, 2**31, 2**32, 2**59, 2**63, 2**64]
u64 = st.one_of(
    st.integers(0, 64),
    st.builds(lambda edge, by: (edge + by) % 2**64, st.sampled_from(_EDGES), st.integers(-2, 2)),
    st.integers(0, 2**64 - 1),
)
u32 = u64.map(lambda value: value % 2**32)
pages = st.integers(0, 16).map(lambda page: page << 16)
sizes = st.one_of(pages, pages, u64)
shifts = st.one_of(st.sampled_from((12, 16, 21, 24, 30)), u32)
windows = st.one_of(st.integers(12, 32).map(lambda bits: 1 << bits), u64)
iovas = st.one_of(
    st.builds(lambda window, page: window | page, st.sampled_from((0, 1 << 59)), pages), u64
)
liobns = st.sampled_from(LIOBNS)
tces = st.one_of(st.builds(lambda page, rights: page | rights, pages, st.integers(0, 3)), u64)
#: Those that the table which programs begin with may well take.
hypercalls = st.tuples(
    st.just("hcall"),
    st.sampled_from((papr.H_PUT_TCE, papr.H_STUFF_TCE, papr.H_PUT_TCE_INDIRECT)),
    st.tuples(
        st.just(LIOBNS[0]),
        st.builds(lambda window, page: window | page, st.sampled_from((0, 1 << 59)), pages),
        st.one_of(st.just(0), tces),
        st.integers(0, 16),
    ),
)
calls = st.one_of(
    st.tuples(st.just("map"), iovas, pages, sizes, st.integers(0, 4)),
    st.tuples(st.just("unmap"), iovas, sizes),
    st.tuples(st.just("register"), pages, sizes),
    st.tuples(st.just("unregister"), pages, sizes),
    st.tuples(st.just("create"), shifts, windows, st.one_of(st.integers(0, 6), u32)),
    st.tuples(st.just("remove"), iovas),
    st.tuples(st.just("join"), st.integers(1, 3), st.integers(0, 1)),
    st.tuples(st.just("leave"), st.integers(1, 3)),
    st.tuples(st.just("choose"), st.integers(0, 1), st.sampled_from((1, 2, 7))),
    st.tuples(st.just("switch"), st.integers(0, 1), st.booleans()),
    st.tuples(st.just("eeh"), st.integers(0, 10)),
    st.tuples(st.just("table"), liobns, shifts, u64, st.one_of(st.integers(0, 8192), u64)),
    st.tuples(st.just("attach"), st.integers(1, 3), liobns),
    st.tuples(st.just("add"), st.integers(1, 3), st.booleans()),
    st.tuples(st.just("touch"), liobns, st.integers(0, 1 << 17)),
    st.tuples(st.just("slot"), st.integers(0, 2), pages, pages, sizes),
    st.tuples(
        st.just("hcall"),
        st.sampled_from((papr.H_PUT_TCE, papr.H_GET_TCE, papr.H_STUFF_TCE, 0, 0x13C, 0x7FFC)),
        st.tuples(liobns, iovas, tces, st.one_of(st.integers(0, 600), u64)),
    ),
    st.tuples(st.just("fill"), st.lists(tces, max_size=16)),
    hypercalls,
    hypercalls,
    hypercalls,
    st.tuples(st.just("enable"), st.one_of(st.sampled_from((0x138, 0x13C, 0x20)), u64), u64),
    st.tuples(st.just("close"), st.integers(0, 12)),
    st.tuples(st.just("limit"), st.one_of(st.none(), st.integers(0, 1 << 24))),
    st.tuples(st.just("fail"), st.integers(0, 8)),
)


class World:
    version = vfio.VFIO_SPAPR_TCE_v2_IOMMU

    def __init__(self, system: System) -> None:
        self.system = system
        self.process = system.process()
        self.ram = self.process.mmap(RAM, 3, 0x22, align=2 << 20)
        self.containers = [SpaprContainer(self.process) for _ in range(2)]
        self.groups = {number: Group(self.process, number) for number in (1, 2, 3)}
        module = Kvm(self.process)
        self.vm = module.create_vm()
        self.vcpu = self.vm.create_vcpu()
        self.vm.set_user_memory_region(0, 0, self.ram, RAM)
        self.tables: dict[int, Descriptor] = {}
        self.open: list[Descriptor] = [module, *self.containers, *self.groups.values()]
        self.container = self.containers[0]
        self.groups[1].set_container(self.container)
        self.container.set_iommu(self.version)
        self.set_up()

    def set_up(self) -> None:
        """A window behind a table, and hypercalls for it: programs begin in the middle."""
        self.device = self.vm.create_device(k.KVM_DEV_TYPE_VFIO)
        self.open.append(self.device)
        self.container.remove_window(0)
        start = self.container.create_window(16, 1 << 28)
        self.container.register_memory(self.ram, RAM)
        self.device.add_file(self.groups[1])
        self.table(LIOBNS[0], 16, start >> 16, 64)
        self.attach(1, LIOBNS[0])
        for number in (papr.H_STUFF_TCE, papr.H_PUT_TCE_INDIRECT):
            self.vm.enable_hcall(number)

    def fill(self, tces: Sequence[int]) -> None:
        """A list, where hypercalls find it."""
        self.process.poke(self.ram, struct.pack(f">{len(tces)}Q", *tces))

    def map(self, iova: int, page: int, size: int, flags: int) -> None:
        block = vfio.vfio_iommu_type1_dma_map(32, flags, self.ram + page, iova, size)
        self.container.ioctl(vfio.VFIO_IOMMU_MAP_DMA, block)

    def unmap(self, iova: int, size: int) -> None:
        self.container.unmap_dma(iova, size)

    def register(self, page: int, size: int) -> None:
        self.container.register_memory(self.ram + page, size)

    def unregister(self, page: int, size: int) -> None:
        self.container.unregister_memory(self.ram + page, size)

    def create(self, shift: int, size: int, levels: int) -> None:
        self.container.create_window(shift, size, levels)

    def remove(self, start: int) -> None:
        self.container.remove_window(start)

    def join(self, group: int, container: int) -> None:
        self.groups[group].set_container(self.containers[container])

    def leave(self, group: int) -> None:
        self.groups[group].unset_container()

    def choose(self, container: int, version: int) -> None:
        self.containers[container].set_iommu(version)

    def switch(self, container: int, on: bool) -> None:
        self.container = self.containers[container]
        if on:
            self.container.enable()
        else:
            self.container.disable()

    def eeh(self, op: int) -> None:
        self.container.eeh_pe_op(op)

    def table(self, liobn: int, shift: int, offset: int, size: int) -> None:
        table = self.vm.create_spapr_tce(liobn, page_shift=shift, offset=offset, size=size)
        self.tables[liobn] = table
        self.open.append(table)

    def attach(self, group: int, liobn: int) -> None:
        self.device.set_spapr_tce(self.groups[group], self.tables[liobn])

    def add(self, group: int, on: bool) -> None:
        (self.device.add_file if on else self.device.del_file)(self.groups[group])

    def touch(self, liobn: int, offset: int) -> None:
        address = self.process.mmap(1 << 17, 3, 1, self.tables[liobn].fd)
        self.process.poke(address + offset, b"\x03\x00\x01")

    def slot(self, slot: int, guest: int, page: int, size: int) -> None:
        self.vm.set_user_memory_region(slot, guest, self.ram + page, size)

    def hcall(self, number: int, arguments: Sequence[int]) -> None:
        self.vcpu.queue([(number, *arguments)])
        if self.vcpu.run() is not None:
            self.vcpu.answer(papr.H_HARDWARE)

    def enable(self, number: int, on: int) -> None:
        self.vm.enable_cap(k.KVM_CAP_PPC_ENABLE_HCALL, number, on)

    def close(self, which: int) -> None:
        # By number: the objects know nothing of it, and the kernel is to refuse their calls.
        self.process.close(self.open[which % len(self.open)].fd)

    def limit(self, limit: int | None) -> None:
        self.process.setresuid(1000, 1000, 1000)
        self.process.setrlimit(8, limit, limit)

    def fail(self, nth: int) -> None:
        self.process.fail_nth = nth


@pytest.mark.parametrize(("name", "fixed"), MACHINES)
@given(program=st.lists(calls, max_size=30))
def test_no_call_does_harm(
    name: str, fixed: tuple[str, ...], program: list[tuple[Any, ...]]
) -> None:
    system = System(replace(machine.load(name), memory=256 << 20, fixed=fixed))
    world = World(system)
    for call, *arguments in program:
        make: Callable[..., None] = getattr(world, call)
        with contextlib.suppress(OSError, MemoryFault, KeyError):
            make(*arguments)
    world.process.exit()
    assert world.process.mapped_bytes == 0
    if fixed:
        assert world.process.locked_vm == 0
    system.close()
    assert system.total_pins == system.pinned_frames == system.used_frames == 0


class WorldOf2013(World):
    """What was proposed in 2013 in place of what came: links, and tables as devices."""

    version = vfio.VFIO_SPAPR_TCE_IOMMU

    def set_up(self) -> None:
        self.container.enable()
        self.link(LIOBNS[0], 1, 0)

    def table(self, liobn: int, shift: int, offset: int, size: int) -> None:
        self.tables[liobn] = self.vm.create_spapr_tce(liobn, window_size=size % 2**32)
        self.open.append(self.tables[liobn])

    def link(self, liobn: int, group: int, fd: int) -> None:
        """By a request where there is one, else by a device."""
        group_fd = self.groups[group].fd if group in self.groups else fd
        if self.vm.check_extension(p.KVM_CAP_SPAPR_TCE_IOMMU):
            self.open.append(kvm_2013.create_spapr_tce_iommu(self.vm, liobn, group_fd))
        else:
            device = kvm_2013.TceIommu(self.vm)
            self.open.append(device)
            device.link(liobn, group_fd)

    def make(self, type: int) -> None:
        self.open.append(self.vm.create_device(type))

    def attribute(self, which: int, what: int, group: int, attr: int, group_fd: int) -> None:
        """The address leads to what may be a linkage, a descriptor or a window."""
        request = (k.KVM_SET_DEVICE_ATTR, k.KVM_GET_DEVICE_ATTR, k.KVM_HAS_DEVICE_ATTR)[what]
        if group_fd in self.groups:
            group_fd = self.groups[group_fd].fd
        linkage = p.kvm_create_spapr_tce_iommu_linkage(liobn=attr, fd=group_fd % 2**32)
        data = bytes(linkage) if which % 2 else (group_fd % 2**32).to_bytes(4, "little")
        self.process.poke(self.ram, data)
        block = k.kvm_device_attr(group=group, attr=attr, addr=self.ram)
        self.open[which % len(self.open)].ioctl(request, block)

    def show(self) -> None:
        for state in self.vm.tce_tables():
            assert all(0 <= page - state.offset < state.size for page in state.entries)

    def attach(self, group: int, liobn: int) -> None:
        """There is no VFIO device to attach with."""

    def add(self, group: int, on: bool) -> None:
        """As attach()."""

    def unmap_memory(self, page: int, size: int) -> None:
        self.process.munmap(self.ram + page, size)


proposals = st.sampled_from(
    (
        ("spapr-tce-iommu-ioctl", "spapr-tce-iommu-device"),
        ("spapr-tce-iommu-ioctl", "spapr-tce-iommu-links"),
        ("spapr-tce-devices",),
    )
)
pages_of_4k = st.integers(0, 256).map(lambda page: page << 12)
calls_of_2013 = st.one_of(
    calls,
    st.tuples(st.just("link"), liobns, st.integers(0, 3), u32.map(lambda fd: fd - 2**31)),
    st.tuples(st.just("make"), st.one_of(st.just(4), st.just(5), u32)),
    st.tuples(
        st.just("attribute"),
        st.integers(0, 12),
        st.integers(0, 2),
        st.one_of(st.just(0), u32),
        st.one_of(liobns, u64),
        st.one_of(st.integers(0, 3), st.just(-1), u64),
    ),
    st.tuples(st.just("show")),
    st.tuples(st.just("unmap_memory"), pages, sizes),
    st.tuples(
        st.just("hcall"),
        st.sampled_from((papr.H_PUT_TCE, papr.H_GET_TCE, papr.H_STUFF_TCE, 0x13C)),
        st.tuples(
            st.one_of(st.just(LIOBNS[0]), liobns),
            st.one_of(pages_of_4k, pages_of_4k, iovas),
            st.one_of(
                st.just(0),
                st.builds(lambda page, rights: page | rights, pages_of_4k, st.integers(0, 3)),
                u64,
            ),
            st.one_of(st.integers(0, 600), u64),
        ),
    ),
)


@pytest.mark.parametrize("name", ["powernv9", "powernv9-4k", "pseries"])
@given(proposals=proposals, program=st.lists(calls_of_2013, max_size=30))
def test_no_call_of_2013_does_harm(
    name: str, proposals: tuple[str, ...], program: list[tuple[Any, ...]]
) -> None:
    description = replace(machine.load(name), memory=256 << 20, proposals=proposals)
    system = System(description)
    world = WorldOf2013(system)
    for call, *arguments in program:
        make: Callable[..., None] = getattr(world, call)
        with contextlib.suppress(OSError, MemoryFault, KeyError):
            make(*arguments)
    world.process.exit()
    assert world.process.mapped_bytes == 0
    system.close()
    assert system.total_pins == system.pinned_frames == system.used_frames == 0
