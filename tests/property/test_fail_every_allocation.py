# SPDX-License-Identifier: MIT
"""Whole programs of VMMs, in which each allocation of each call fails in turn: a call that is
refused changed nothing that can be seen, the same call made again does what it should have, and in
the end nothing is left.

A program is a list of calls. Each is made again and again, with the first, the second, the third
allocation failing, until it has met no failure.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from kvmiommu import System, machine
from kvmiommu.kvm import Kvm
from kvmiommu.process import Process
from kvmiommu.spapr import SpaprContainer
from kvmiommu.uapi import kvm as k
from kvmiommu.uapi import papr, vfio
from kvmiommu.vfio import Container, Group

PAGE = 4096
MEBI = 1 << 20
LIOBN = 0x80000001
#: More than any call here can need.
MOST_ALLOCATIONS = 300

Call = Callable[[], object]
Program = Callable[[Process], Iterator[Call]]


def figures(system: System, process: Process) -> tuple[object, ...]:
    """What a refused call leaves as it was. Tables for the IOMMU may stay for the next call."""
    return (
        sorted(system.alive),
        system.pinned_frames,
        system.total_pins,
        process.status("VmLck"),
        process.status("VmPin"),
        process.mapped_bytes,
    )


def refused(call: Call) -> OSError | None:
    try:
        call()
    except OSError as refusal:
        return refusal
    return None


def sweep(system: System, program: Program) -> int:
    """Runs it; how many failures were met."""
    process = system.process()
    met = 0
    for step, call in enumerate(program(process)):
        for nth in range(1, MOST_ALLOCATIONS):
            before = figures(system, process)
            process.fail_nth = nth
            refusal = refused(call)
            if refusal is None:
                assert process.fail_nth != 0, f"call {step} did not see failure {nth}"
                process.fail_nth = 0
                break
            where = f"call {step}, failure {nth}: {refusal}"
            assert refusal.errno == errno.ENOMEM, where
            assert process.fail_nth == 0, where
            assert figures(system, process) == before, where
            met += 1
        else:
            pytest.fail(f"call {step} always meets another failure")
    process.exit()
    assert process.mapped_bytes == process.status("VmLck") == 0
    assert system.total_pins == system.pinned_frames == 0
    system.close()
    assert system.used_frames == 0
    return met


def type1(process: Process) -> Iterator[Call]:
    """Mappings of several kinds, a group that joins them, dirty pages, devices."""
    memory = process.mmap(8 * MEBI, 3, 0x22, align=2 * MEBI)
    container = Container(process)
    groups = [Group(process, 1), Group(process, 8)]
    yield lambda: groups[0].set_container(container)
    yield container.set_iommu
    yield lambda: container.map_dma(0, memory, PAGE)
    yield lambda: container.map_dma(2 * MEBI - 4 * PAGE, memory, 2 * MEBI + 8 * PAGE)
    yield lambda: container.map_dma(1 << 38, memory, 4 * MEBI)
    yield lambda: groups[1].set_container(container)
    yield container.get_info
    yield container.start_dirty_pages
    yield lambda: container.map_dma(1 << 30, memory, 3 * PAGE, write=False)
    yield lambda: container.dirty_bitmap(1 << 30, 3 * PAGE)
    yield lambda: container.unmap_dma(0, PAGE, bitmap=PAGE)
    yield container.stop_dirty_pages
    devices = []
    yield lambda: devices.append(groups[0].get_device("0000:00:02.0"))
    yield lambda: devices.append(groups[1].get_device("0000:01:00.0"))
    event = process.eventfd(0, 0)
    yield lambda: devices[0].msi.set_eventfds([event])
    yield lambda: devices[0].ioeventfd(0, 0x20, 0, event)
    yield lambda: devices[0].ioeventfd(0, 0x20, 0, None)
    mapped = []
    yield lambda: mapped.append(devices[1].region(0).mmap())
    yield mapped[0].close
    yield lambda: devices[1].hot_reset([groups[1]])
    yield devices[1].reset
    yield container.unmap_all
    for device in devices:
        yield device.close
    yield groups[1].unset_container


def kvm(process: Process) -> Iterator[Call]:
    """A virtual machine that knows of a group and of a device."""
    container, group = Container(process), Group(process, 1)
    group.set_container(container)
    container.set_iommu()
    module = Kvm(process)
    made = []
    yield lambda: made.append(module.create_vm())
    yield lambda: made.append(made[0].create_device(k.KVM_DEV_TYPE_VFIO))
    yield lambda: made[1].add_file(group.fd)
    device = group.get_device("0000:00:02.0")
    yield lambda: made[1].add_file(device.fd)
    yield lambda: made[1].del_file(group.fd)


def spapr_v1(process: Process) -> Iterator[Call]:
    """The first version of the container, which pins when it maps."""
    size = process.page_size
    memory = process.mmap(4 * size, 3, 0x22)
    container, group = SpaprContainer(process), Group(process, 1)
    yield lambda: group.set_container(container)
    yield lambda: container.set_iommu(vfio.VFIO_SPAPR_TCE_IOMMU)
    yield container.enable
    # Makes the default window, which stays whatever comes of the call.
    yield lambda: container.unmap_dma(0, size)
    yield lambda: container.map_dma(0, memory, 4 * size)
    yield lambda: container.unmap_dma(0, 2 * size)
    yield container.disable


def spapr_v2(process: Process) -> Iterator[Call]:
    """Windows and registered memory, and a guest's table before them."""
    size = process.page_size
    shift = size.bit_length() - 1
    memory = process.mmap(16 * size, 3, 0x22)
    container, group = SpaprContainer(process), Group(process, 1)
    module = Kvm(process)
    yield lambda: group.set_container(container)
    yield container.set_iommu
    yield lambda: container.remove_window(0)
    starts: list[int] = []  # where the window is, the platform says
    yield lambda: starts.append(container.create_window(shift, 256 * size))
    start = starts[0]
    yield lambda: container.register_memory(memory, 16 * size)
    yield lambda: container.map_dma(start, memory, 4 * size)
    vm = module.create_vm()
    vm.set_user_memory_region(0, 0, memory, 16 * size)
    made = []

    def guest_table(offset: int) -> object:
        return vm.create_spapr_tce(LIOBN, page_shift=shift, size=256, offset=offset)

    yield lambda: made.append(vm.create_device(k.KVM_DEV_TYPE_VFIO))
    yield lambda: made[0].add_file(group)
    yield lambda: made.append(guest_table(start >> shift))
    yield lambda: made[0].set_spapr_tce(group, made[1])
    vcpu = vm.create_vcpu()

    def put() -> None:
        vcpu.queue([(papr.H_PUT_TCE, LIOBN, start + (8 << shift), 2 << shift | 3)])
        assert vcpu.run() is None
        assert vcpu.answers()[-1].r3 == papr.H_SUCCESS

    yield put
    yield lambda: container.unmap_dma(start, 4 * size)
    yield made[1].close
    yield lambda: made[0].del_file(group.fd)


def files(process: Process) -> Iterator[Call]:
    """What needs no device."""
    fds = []
    yield lambda: fds.append(process.memfd_create("memory", 0))
    yield lambda: process.ftruncate(fds[0], 4 * PAGE)
    yield lambda: process.munmap(process.mmap(4 * PAGE, 3, 1, fds[0], 0), 4 * PAGE)
    yield lambda: fds.append(process.eventfd(0, 0))
    yield lambda: fds.append(process.dup(fds[1]))


#: The bug would keep the charge of a window that could not be made.
FIXED = ("spapr-failed-window-stays-charged",)


@pytest.mark.parametrize(
    ("name", "program", "least"),
    [
        ("q35-intel", type1, 12),
        ("q35-amd", type1, 12),
        ("q35-virtio", files, 0),
        ("q35-intel", kvm, 3),
        ("q35-amd", kvm, 3),
        ("powernv9", spapr_v1, 1),
        ("powernv9", spapr_v2, 5),
        ("powernv9-4k", spapr_v2, 5),
        ("pseries", spapr_v1, 1),
        ("pseries-4k", spapr_v1, 1),
        ("pseries", spapr_v2, 5),
        ("pseries-4k", spapr_v2, 5),
    ],
    ids=lambda each: getattr(each, "__name__", str(each)),
)
def test_every_failed_allocation_of_a_program_is_as_if_the_call_had_not_been_made(
    name: str, program: Program, least: int
) -> None:
    description = machine.load(name)
    if description.abi == "power":
        description = replace(description, fixed=FIXED)
    assert sweep(System(description), program) >= least
