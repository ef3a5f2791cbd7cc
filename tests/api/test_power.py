# SPDX-License-Identifier: MIT
"""POWER: windows and DMA through them, registered memory, guests' tables, who keeps what alive."""

from __future__ import annotations

import errno
import itertools
import struct
from dataclasses import replace

import pytest

from kvmiommu import MemoryFault, System, kvm, machine, pci, uapi
from kvmiommu.kvm import Kvm, TceTable
from kvmiommu.process import Process
from kvmiommu.spapr import SpaprContainer, SpaprInfo
from kvmiommu.uapi import kvm as k
from kvmiommu.uapi.papr import (
    H_FUNCTION,
    H_GET_TCE,
    H_HARDWARE,
    H_PARAMETER,
    H_PUT_TCE,
    H_PUT_TCE_INDIRECT,
    H_STUFF_TCE,
    H_SUCCESS,
)
from kvmiommu.vfio import Group
from kvmiommu.vmm import Bus, Vmm

CARD = "0001:01:00.0"
PAGE = 1 << 16
RAM = 1 << 20
SECOND_WINDOW = 1 << 59
LIOBN = 0x80000001
CONFIG = uapi.vfio.VFIO_PCI_CONFIG_REGION_INDEX


class Prober(pci.DeviceModel):
    vendor_id = 0xCAFE
    device_id = 0x0002
    class_code = 0x088000


class Power:
    """A process with 1 MiB of memory, and group 1 in a container of version 2."""

    def __init__(self, system: System, version: int = 7) -> None:
        self.system = system
        self.process: Process = system.process()
        self.ram = self.process.mmap(RAM, 3, 0x22, align=2 << 20)
        self.container = SpaprContainer(self.process)
        self.group = Group(self.process, 1)
        self.group.set_container(self.container)
        self.container.set_iommu(version)

    def window(self, page_shift: int = 16) -> int:
        self.container.remove_window(0)
        return self.container.create_window(page_shift, 1 << 28)


def with_fixed(name: str, *fixed: str) -> System:
    return System(replace(machine.load(name), fixed=fixed))


def refused(error: int) -> pytest.RaisesExc[OSError]:
    return pytest.raises(OSError, check=lambda found: found.errno == error)


def test_a_device_reaches_what_the_windows_lead_to() -> None:
    with System("powernv9", models={CARD: Prober}) as system:
        power = Power(system)
        model = system.models[CARD]
        assert isinstance(model, Prober)
        device = power.group.get_device(CARD)
        device.write(CONFIG, 4, struct.pack("<H", 0x6))  # memory and bus master on
        start = power.window()
        second = power.container.create_window(12, 1 << 24, levels=2)
        assert (start, second) == (0, SECOND_WINDOW)
        power.container.register_memory(power.ram, RAM)
        power.process.poke(power.ram + PAGE, b"in the second page")
        power.container.map_dma(PAGE * 3, power.ram + PAGE, PAGE, write=False)
        power.container.map_dma(SECOND_WINDOW, power.ram + PAGE, 4096)
        for iova in (PAGE * 3, SECOND_WINDOW):
            assert model.dma_read(iova, 18) == b"in the second page"
        model.dma_write(SECOND_WINDOW + 7, b"SECOND")
        assert power.process.peek(power.ram + PAGE, 18) == b"in the SECOND page"
        for unreachable in (PAGE * 3, SECOND_WINDOW + 4096, PAGE):
            with pytest.raises(OSError, match=r"does not permit|nothing is mapped"):
                model.dma_write(unreachable, b"x")
        power.container.remove_window(SECOND_WINDOW)
        with pytest.raises(OSError, match="nothing is mapped"):
            model.dma_read(SECOND_WINDOW, 1)
        assert model.dma_read(PAGE * 3, 2) == b"in"


def test_entries_are_those_of_the_hardware() -> None:
    """Bare metal reads wherever it writes; a hypervisor keeps what it is told."""
    for name, both in (("powernv9", 3), ("pseries", 2)):
        with System(name) as system:
            power = Power(system)
            start = power.window()
            power.container.register_memory(power.ram, RAM)
            power.container.map_dma(start, power.ram, PAGE, read=False)
            entry = system.tces(1, 0, 0, 1)[0]
            assert entry & 3 == both
            window = system.windows(1)[0]
            assert window is not None
            assert window == (start, 16, window.pages, 1)


def test_what_a_bridge_has() -> None:
    with System("powernv9") as system:
        info = Power(system).container.get_spapr_info()
        assert info == SpaprInfo(0, 2 << 30, (1 << 12, 1 << 16, 1 << 21, 1 << 30), 2, 5)
    with System("pseries") as system:
        info = Power(system, version=2).container.get_spapr_info()
        assert info == SpaprInfo(0, 1 << 30, (), 0, 0)
        with refused(errno.EINVAL):  # nobody has chosen what it is to be
            SpaprContainer(system.process()).get_spapr_info()


def test_error_handling_answers_where_the_platform_has_it() -> None:
    with System("powernv9") as system:
        container = Power(system).container
        assert container.check_extension(uapi.vfio.VFIO_EEH) == 1
        for op in range(uapi.vfio.VFIO_EEH_PE_INJECT_ERR):
            assert container.eeh_pe_op(op) == 0
        with refused(errno.EIO):  # the firmware injects nothing
            container.eeh_pe_op(uapi.vfio.VFIO_EEH_PE_INJECT_ERR)
        with refused(errno.EINVAL):
            container.eeh_pe_op(77)
    with System("pseries") as system, refused(errno.ENODEV):
        Power(system).container.eeh_pe_op(uapi.vfio.VFIO_EEH_PE_GET_STATE)


def test_groups_share_windows_where_the_kernel_makes_them() -> None:
    with System("powernv9") as system:
        power = Power(system)
        start = power.window()
        power.container.register_memory(power.ram, RAM)
        power.container.map_dma(start, power.ram, PAGE)
        other = Group(power.process, 3)
        other.set_container(power.container)
        assert system.tces(3, 0, 0, 1) == system.tces(1, 0, 0, 1)
        assert system.tces(3, 0, 0, 1)[0] != 0
        # Who leaves clears what all had.
        other.unset_container()
        assert system.windows(3) == [None, None]
        assert system.tces(1, 0, 0, 1) == [0]
    with System("pseries") as system:
        power = Power(system)
        power.window()
        with refused(errno.EPERM):
            Group(power.process, 3).set_container(power.container)


def test_memory_that_is_mapped_is_given_up_and_kept() -> None:
    name = "spapr-unregister-while-mapped"
    for fixed in (False, True):
        with with_fixed("powernv9", *([name] if fixed else [])) as system:
            power = Power(system)
            start = power.window()
            charged = power.process.locked_vm
            power.container.register_memory(power.ram, RAM)
            power.container.map_dma(start, power.ram, PAGE)
            if fixed:
                with refused(errno.EBUSY):
                    power.container.unregister_memory(power.ram, RAM)
                power.container.unmap_dma(start, PAGE)
            power.container.unregister_memory(power.ram, RAM)
            kept = 0 if fixed else RAM
            assert power.process.locked_vm - charged == kept
            assert system.pinned_frames == kept // 4096


def test_a_check_that_says_yes_or_no() -> None:
    for fixed, answer in (((), 1), (("spapr-check-answers-one",), -errno.EINVAL)):
        with with_fixed("powernv9", *fixed) as system:
            power = Power(system)
            power.window()
            power.container.register_memory(power.ram, RAM)
            unmap = uapi.vfio.vfio_iommu_type1_dma_unmap(argsz=24, iova=0x800, size=PAGE)
            try:
                found = power.container.ioctl(uapi.vfio.VFIO_IOMMU_UNMAP_DMA, unmap)
            except OSError as error:
                found = -(error.errno or 0)
            assert found == answer


def test_a_window_that_is_refused_stays_charged() -> None:
    for fixed, charged in ((), 0xFFFFFFFF // PAGE), (("spapr-failed-window-stays-charged",), 0):
        with with_fixed("pseries", *fixed) as system:
            power = Power(system)
            power.container.remove_window(0)
            with refused(errno.EINVAL):
                power.container.create_window(16, 1 << 28, levels=2)
            assert power.process.locked_vm == charged * PAGE


class Guest(Power):
    """The process's memory is that of a guest with one vcpu."""

    def __init__(self, system: System) -> None:
        super().__init__(system)
        self.module = Kvm(self.process)
        self.vm = self.module.create_vm()
        self.guest = kvm.Guest(self.vm, self.ram, RAM)
        self.vcpu = self.guest.vcpu
        self.table: TceTable = self.vm.create_spapr_tce(LIOBN, page_shift=16, size=16)

    def hcall(self, number: int, *arguments: int) -> int | None:
        answer = self.guest.hcall(number, *arguments)
        return None if answer is None else answer.r3


def test_a_range_past_the_end_touches_nothing_there() -> None:
    """Kernels before 6.12.117 looked at the first page alone, and wrote past the table."""
    for kernel, answer in (("6.12.107", H_SUCCESS), ("6.12.117", H_PARAMETER)):
        with System(replace(machine.load("powernv9"), kernel=kernel)) as system:
            guest = Guest(system)
            guest.vm.enable_hcall(H_STUFF_TCE)
            before = system.used_frames
            assert guest.hcall(H_STUFF_TCE, LIOBN, 15 << 16, 0xABC0, 1 << 40) == answer
            entries = guest.table.entries()
            assert entries == (*[0] * 15, 0xABC0 if answer == H_SUCCESS else 0)
            assert system.used_frames <= before + PAGE // 4096


def test_a_range_far_past_the_end_ends_with_the_hardwares_table() -> None:
    """2^35 pages, few of which have a table, are not looked at one by one."""
    with System("powernv9-4k") as system:
        guest = Guest(system)
        guest.container.remove_window(0)
        guest.container.create_window(12, 1 << 28, levels=4)
        guest.vm.enable_hcall(H_STUFF_TCE)
        device = guest.vm.create_device(k.KVM_DEV_TYPE_VFIO)
        device.add_file(guest.group)
        device.set_spapr_tce(guest.group, guest.table)
        assert guest.hcall(H_STUFF_TCE, LIOBN, 0, 0, 1 << 31) == H_SUCCESS
        # Beyond what the hardware's tables reach it is user space's.
        assert guest.hcall(H_STUFF_TCE, LIOBN, 0, 0, 1 << 50) is None


def test_a_vcpu_leaves_for_user_space_and_comes_back() -> None:
    with System("pseries") as system:
        guest = Guest(system)
        vcpu = guest.vcpu
        assert vcpu.run() is None  # nothing to do: EINTR
        vcpu.queue([(H_PUT_TCE, LIOBN, 0, 0x3), (H_PUT_TCE, 77, 5, 6), (H_GET_TCE, LIOBN, 0)])
        shared = vcpu.run()
        assert shared is not None
        assert shared.exit_reason == k.KVM_EXIT_PAPR_HCALL
        call = shared.papr_hcall
        assert (call.nr, *call.args[:4]) == (H_PUT_TCE, 77, 5, 6, 0)
        assert [answer.r3 for answer in vcpu.answers()] == [H_SUCCESS]
        vcpu.answer(H_FUNCTION, 42)
        assert vcpu.run() is None
        assert vcpu.answers() == [(H_PUT_TCE, H_FUNCTION, 42), (H_GET_TCE, H_SUCCESS, 3)]
        assert vcpu.figures == (0, 2, 1)
        with refused(errno.EINVAL):
            vcpu.ioctl(k.KVM_RUN, 1)
        with pytest.raises(ValueError, match="not a vcpu"):
            guest.process._queue_hypercalls(guest.vm.fd, [[1]])
        with pytest.raises(ValueError, match="up to nine arguments"):
            vcpu.queue([range(11)])
        # Another process's vcpus and machines are not for this one.
        other = system.process()
        with pytest.raises(OSError, match="descriptor"):
            other._queue_hypercalls(guest.vcpu.fd, [[1]])


def test_user_space_may_want_a_vcpu_back_at_once() -> None:
    with System("powernv9") as system:
        guest = Guest(system)
        guest.vcpu.queue([(H_GET_TCE, LIOBN, 0)])
        guest.vcpu.immediate_exit = True
        assert guest.vcpu.run() is None
        assert guest.vcpu.answers() == []
        guest.vcpu.immediate_exit = False
        assert guest.vcpu.run() is None
        assert len(guest.vcpu.answers()) == 1


def test_a_table_is_shown_to_its_last_page() -> None:
    with System("pseries-4k") as system:
        guest = Guest(system)
        address = guest.process.mmap(3 * 4096, 3, 1, guest.table.fd)
        guest.process.poke(address + 8, struct.pack("<Q", 0x5003))
        assert guest.hcall(H_GET_TCE, LIOBN, 1 << 16) == H_SUCCESS
        with pytest.raises(MemoryFault, match="SIGBUS"):
            guest.process.peek(address + 4096, 1)
        # The mapping keeps the table, and the table its bus.
        guest.table.close()
        with refused(errno.EBUSY):
            guest.vm.create_spapr_tce(LIOBN, size=1)
        guest.process.munmap(address, 3 * 4096)
        guest.vm.create_spapr_tce(LIOBN, size=1)


def test_the_vmm_answers_what_the_kernel_leaves_to_it() -> None:
    with System("powernv9") as system:
        guest = Guest(system)
        start = guest.window()
        guest.container.register_memory(guest.ram, RAM)
        vmm = Vmm(guest.guest)
        vmm.add_bus(Bus(0x90000000, guest.container, start, 16, 16))
        answers = vmm.run(
            [
                (H_PUT_TCE, 0x90000000, 0x20000, 0x30003),
                (H_GET_TCE, 0x90000000, 0x20000),
                (H_PUT_TCE, 0x90000000, 0x20000, 0x40001),
                (H_PUT_TCE, 0x90000000, 0x20008, 0x40001),
                (H_PUT_TCE, 0x90000000, 0x20000, RAM | 3),
                (H_PUT_TCE, 0x12345678, 0, 3),
                (0x54, 0, 0, 0),
            ]
        )
        assert [answer.r3 for answer in answers] == [
            *[H_SUCCESS] * 3,
            *[H_PARAMETER] * 3,
            H_FUNCTION,
        ]
        assert answers[1].r4 == 0x30003
        assert [entry & 3 for entry in system.tces(1, 0, 1, 2)] == [0, 1]
        assert guest.vcpu.figures == (0, 0, 7)


@pytest.mark.parametrize(
    "order",
    list(itertools.permutations(("container", "group", "table", "vm", "pseudo"))),
    ids=" ".join,
)
def test_every_order_of_closing(order: tuple[str, ...]) -> None:
    with System("powernv9") as system:
        guest = Guest(system)
        guest.window()
        guest.container.register_memory(guest.ram, RAM)
        guest.table.close()
        table = guest.vm.create_spapr_tce(LIOBN, page_shift=16, size=16)
        pseudo = guest.vm.create_device(k.KVM_DEV_TYPE_VFIO)
        pseudo.add_file(guest.group)
        pseudo.set_spapr_tce(guest.group, table)
        assert guest.hcall(H_PUT_TCE, LIOBN, 0, 0x10003) == H_SUCCESS
        opened = {
            "container": guest.container,
            "group": guest.group,
            "table": table,
            "vm": guest.vm,
            "pseudo": pseudo,
        }
        closed: set[str] = set()
        for name in order:
            opened[name].close()
            closed.add(name)
            if "table" not in closed:
                # Behind it may be a hardware table or none; the guest's entries are its own.
                assert table.entries()[0] in (0x10003, 0x20003)
            there = "table" not in closed
            assert guest.hcall(H_PUT_TCE, LIOBN, 0, 0x20003) == (H_SUCCESS if there else None)
        guest.module.close()
        guest.vcpu.close()
        assert guest.process.locked_vm == 0
        assert system.total_pins == 0


def test_entries_that_hold_pages_are_not_the_guests() -> None:
    """Version 1 behind a guest's table: the kernel leaves it to user space, and touches nothing."""
    for registered in (False, True):
        with System("powernv9") as system:
            process = system.process()
            ram = process.mmap(RAM, 3, 0x22, align=2 << 20)
            first, second = SpaprContainer(process), SpaprContainer(process)
            groups = [Group(process, number) for number in (1, 2)]
            for group, container, version in zip(groups, (first, second), (2, 7), strict=True):
                group.set_container(container)
                container.set_iommu(version)
            first.enable()
            first.map_dma(0, ram, PAGE)
            if registered:
                second.register_memory(ram, RAM)
            pins = system.total_pins
            entries = system.tces(1, 0, 0, 16)
            vm = Kvm(process).create_vm()
            guest = kvm.Guest(vm, ram, RAM)
            table = vm.create_spapr_tce(LIOBN, page_shift=16, size=16)
            device = vm.create_device(k.KVM_DEV_TYPE_VFIO)
            device.add_file(groups[0])
            device.set_spapr_tce(groups[0], table)
            for tce in (0, 0x10003):
                assert guest.hcall(H_PUT_TCE, LIOBN, 0, tce) is None
            assert system.tces(1, 0, 0, 16) == entries
            assert system.total_pins == pins
            first.unmap_dma(0, PAGE)
            assert system.total_pins == pins - 16 * 16


def test_another_containers_hold_does_not_hide_what_is_mapped() -> None:
    with with_fixed("powernv9", "spapr-unregister-while-mapped") as system:
        power = Power(system)
        start = power.window()
        other = SpaprContainer(power.process)
        group = Group(power.process, 2)
        group.set_container(other)
        other.set_iommu()
        for container in (power.container, other):
            container.register_memory(power.ram, RAM)
        power.container.map_dma(start, power.ram, PAGE)
        with refused(errno.EBUSY):
            power.container.unregister_memory(power.ram, RAM)
        power.container.unmap_dma(start, PAGE)
        power.container.unregister_memory(power.ram, RAM)
        other.unregister_memory(power.ram, RAM)
        assert system.total_pins == 0


def test_a_window_that_is_removed_under_a_guest() -> None:
    name = "spapr-removed-window-stays-attached"
    for fixed in (False, True):
        with with_fixed("powernv9", *([name] if fixed else [])) as system:
            guest = Guest(system)
            guest.window()
            guest.container.register_memory(guest.ram, RAM)
            device = guest.vm.create_device(k.KVM_DEV_TYPE_VFIO)
            device.add_file(guest.group)
            device.set_spapr_tce(guest.group, guest.table)
            guest.container.remove_window(0)
            assert guest.hcall(H_PUT_TCE, LIOBN, 0, 0x10003) == (None if fixed else H_SUCCESS)
            guest.table.close()
            guest.container.unregister_memory(guest.ram, RAM)
            assert (system.total_pins == 0) == fixed


def test_a_vcpu_that_is_wanted_back_leaves_the_reason_alone() -> None:
    with System("powernv9") as system:
        guest = Guest(system)
        guest.guest.queue((H_PUT_TCE, 77, 0, 0))
        assert guest.guest.run() is not None  # leaves with KVM_EXIT_PAPR_HCALL
        guest.vcpu.immediate_exit = True
        assert guest.vcpu.run() is None
        assert guest.vcpu.shared().exit_reason == k.KVM_EXIT_PAPR_HCALL
        guest.vcpu.immediate_exit = False
        assert guest.vcpu.run() is None
        assert guest.vcpu.shared().exit_reason == k.KVM_EXIT_INTR


def test_what_power_has_not() -> None:
    with System("pseries") as system:
        guest = Guest(system)
        with refused(errno.EINVAL):
            guest.vm.set_user_memory_region(1, RAM, guest.ram, PAGE, flags=k.KVM_MEM_READONLY)
        with refused(errno.EINVAL):
            guest.vm.create_vcpu(2048)
        guest.vm.create_vcpu(2047)


def test_the_vmm_puts_all_or_none_and_says_what_failed() -> None:
    with System("powernv9") as system:
        guest = Guest(system)
        start = guest.window()
        guest.container.register_memory(guest.ram, RAM // 2)
        vmm = Vmm(guest.guest)
        vmm.add_bus(Bus(0x90000000, guest.container, start, 16, 16))
        guest.process.poke(guest.ram, struct.pack(">3Q", 0x20003, 0x30001, RAM - PAGE | 3))
        calls = [
            (H_PUT_TCE, 0x90000000, 0x10000, 0x40003),
            (H_PUT_TCE_INDIRECT, 0x90000000, 0, 0, 3),
        ]
        assert [answer.r3 for answer in vmm.run(calls)] == [H_SUCCESS, H_HARDWARE]
        assert [entry & 3 for entry in system.tces(1, 0, 0, 4)] == [0, 3, 0, 0]
        assert vmm.buses[0x90000000].tces == {1: 0x40003}
