# SPDX-License-Identifier: MIT
"""Links of a guest's bus to an IOMMU group, as they were proposed for KVM on POWER in 2013."""

from __future__ import annotations

import errno
import itertools
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest

from kvmiommu import System, kvm, kvm_2013, machine, uapi
from kvmiommu.descriptor import Descriptor
from kvmiommu.kvm import Kvm, TceState, TceTable
from kvmiommu.machine import MachineError
from kvmiommu.process import Process
from kvmiommu.spapr import SpaprContainer
from kvmiommu.uapi import kvm as k
from kvmiommu.uapi import kvm_2013 as p
from kvmiommu.uapi.papr import (
    H_GET_TCE,
    H_HARDWARE,
    H_PARAMETER,
    H_PUT_TCE,
    H_PUT_TCE_INDIRECT,
    H_STUFF_TCE,
    H_SUCCESS,
)
from kvmiommu.vfio import Group

IOCTL = "spapr-tce-iommu-ioctl"
DEVICE = "spapr-tce-iommu-device"
LINKS = "spapr-tce-iommu-links"
DEVICES = "spapr-tce-devices"
EVERY = (IOCTL, DEVICE, LINKS, DEVICES)
FORGETS = "spapr-real-mode-forgets-pages"
PINS = "spapr-links-pin-for-reading"

RAM = 1 << 20
LIST = RAM - 0x10000
LIOBN = 0x80000001
OWN = 0x80000002
WINDOW = 2 << 30
BAD_FD = 99


def refused(error: int) -> pytest.RaisesExc[OSError]:
    return pytest.raises(OSError, check=lambda found: found.errno == error)


def described(name: str, *proposals: str, fixed: tuple[str, ...] = ()) -> machine.Machine:
    return replace(machine.load(name), proposals=proposals, fixed=fixed)


class Guest:
    """A process whose 1 MiB of memory is a guest's, and group 1 in a container of version 1."""

    def __init__(self, system: System) -> None:
        self.system = system
        self.process: Process = system.process()
        self.ram = self.process.mmap(RAM, 3, 0x22, align=2 << 20)
        self.container = SpaprContainer(self.process)
        self.group = Group(self.process, 1)
        self.group.set_container(self.container)
        self.container.set_iommu(uapi.vfio.VFIO_SPAPR_TCE_IOMMU)
        self.container.enable()
        self.kvm = Kvm(self.process)
        self.vm = self.kvm.create_vm()
        self.guest = kvm.Guest(self.vm, self.ram, RAM)
        self.vcpu = self.guest.vcpu

    def link(self, how: str, liobn: int = LIOBN) -> Descriptor:
        """By one of the proposals; the link is gone with the descriptor."""
        if how == IOCTL:
            return kvm_2013.create_spapr_tce_iommu(self.vm, liobn, self.group)
        if how == LINKS:
            links = kvm_2013.TceIommuLinks(self.vm)
            links.link(liobn, self.group)
            return links
        device = kvm_2013.TceIommu(self.vm)
        device.link(liobn, self.group)
        return device

    def own_table(self, how: str, liobn: int = OWN, window_size: int = 16 << 12) -> TceTable:
        if how == DEVICES:
            device = kvm_2013.TceDevice(self.vm)
            device.create(liobn, window_size)
            return device.table()
        return self.vm.create_spapr_tce(liobn, window_size=window_size)

    def hcall(self, number: int, *arguments: int) -> int | None:
        answer = self.guest.hcall(number, *arguments)
        return None if answer is None else answer.r3

    def indirect(self, liobn: int, ioba: int, values: list[int]) -> int | None:
        self.process.poke(self.ram + LIST, struct.pack(f">{len(values)}Q", *values))
        return self.hcall(H_PUT_TCE_INDIRECT, liobn, ioba, LIST, len(values))

    def tces(self, first: int, count: int) -> list[int]:
        return self.system.tces(1, 0, first, count)

    @contextmanager
    def levels(self, real: int, virtual: int, user: int) -> Iterator[None]:
        """So many hypercalls are answered where."""
        before = self.vcpu.figures
        yield
        after = self.vcpu.figures
        assert tuple(b - a for a, b in zip(before, after, strict=True)) == (real, virtual, user)


@pytest.fixture
def guest() -> Iterator[Guest]:
    with System(described("powernv9", DEVICE, fixed=(FORGETS, PINS))) as system:
        yield Guest(system)


# -- what a machine has ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("proposals", "cap", "types"),
    [
        ((), 0, [k.KVM_DEV_TYPE_VFIO]),
        ((IOCTL,), 1, []),
        ((DEVICE,), 1, [p.KVM_DEV_TYPE_SPAPR_TCE_IOMMU]),
        ((LINKS,), 0, [p.KVM_DEV_TYPE_SPAPR_TCE_IOMMU]),
        ((DEVICES,), 0, [p.KVM_DEV_TYPE_SPAPR_TCE_IOMMU, p.KVM_DEV_TYPE_SPAPR_TCE]),
        ((IOCTL, DEVICE), 1, [p.KVM_DEV_TYPE_SPAPR_TCE_IOMMU]),
    ],
)
def test_what_can_be_asked_for(proposals: tuple[str, ...], cap: int, types: list[int]) -> None:
    with System(described("powernv9", *proposals)) as system:
        vm = Kvm(system.process()).create_vm()
        assert vm.check_extension(p.KVM_CAP_SPAPR_TCE_IOMMU) == cap
        assert [type for type in range(32) if vm.can_create_device(type)] == types
        today = not proposals
        for capability in (k.KVM_CAP_SPAPR_TCE_64, k.KVM_CAP_SPAPR_TCE_VFIO):
            assert vm.check_extension(capability) == today
        assert vm.check_extension(k.KVM_CAP_SPAPR_MULTITCE) == 1
        with refused(errno.EINVAL if today else errno.ENOTTY):
            vm.create_spapr_tce(1, size=0)
        with refused(errno.ENXIO if IOCTL in proposals else errno.ENOTTY):
            kvm_2013.create_spapr_tce_iommu(vm, LIOBN, BAD_FD)


@pytest.mark.parametrize(
    ("proposals", "found"),
    [
        ('["spapr-tce-iommu-links", "spapr-tce-iommu-device"]', "without 'spapr-tce-iommu-device'"),
        ('["spapr-tce-devices", "spapr-tce-iommu-links"]', "'spapr-tce-iommu-links' without"),
        ('["spapr-tce-iommu-ioctls"]', "did you mean 'spapr-tce-iommu-ioctl'"),
    ],
)
def test_proposals_that_do_not_go_together(proposals: str, found: str) -> None:
    text = machine.load("powernv9").text()
    with pytest.raises(MachineError, match=found):
        machine.parse(text.replace("proposals = []", f"proposals = {proposals}"))


def test_proposals_are_for_power() -> None:
    text = machine.load("q35-intel").text()
    with pytest.raises(MachineError, match="none on x86_64"):
        machine.parse(text.replace("proposals = []", f'proposals = ["{IOCTL}"]'))
    both = machine.parse(described("pseries", IOCTL, DEVICE).text())
    assert both.proposals == (IOCTL, DEVICE)


# -- linking ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", EVERY)
def test_a_bus_is_linked_once_and_to_a_group_in_use(how: str) -> None:
    with System(described("powernv9", how)) as system:
        guest = Guest(system)
        own = guest.own_table(how)
        link = guest.link(how)
        if how == LINKS:
            assert isinstance(link, kvm_2013.TceIommuLinks)
            again: Callable[[int, int], object] = link.link
            with refused(errno.EEXIST):
                kvm_2013.TceIommuLinks(guest.vm)
        elif how == IOCTL:

            def again(liobn: int, fd: int) -> object:
                return kvm_2013.create_spapr_tce_iommu(guest.vm, liobn, fd)
        else:

            def again(liobn: int, fd: int) -> object:
                return kvm_2013.TceIommu(guest.vm).link(liobn, fd)

        for taken in (LIOBN, OWN):
            with refused(errno.EBUSY):
                again(taken, guest.group.fd)
            with refused(errno.EBUSY):
                guest.own_table(how, taken)
        other = Group(guest.process, 3)
        for fd in (BAD_FD, guest.container.fd, guest.vm.fd, own.fd, other.fd):
            with refused(errno.ENXIO):
                again(7, fd)
        # In a container, but one without a driver.
        empty = SpaprContainer(guest.process)
        other.set_container(empty)
        with pytest.raises(OSError, match="no IOMMU driver yet") as found:
            again(7, other.fd)
        assert found.value.errno == errno.ENXIO
        # Entries of version 2 hold no pages of their own.
        empty.set_iommu(uapi.vfio.VFIO_SPAPR_TCE_v2_IOMMU)
        with pytest.raises(OSError, match="version 2") as found:
            again(7, other.fd)
        assert found.value.errno == errno.ENXIO
        assert guest.hcall(H_PUT_TCE, 7, 0, 3) is None


def test_a_device_keeps_what_it_was_told(guest: Guest) -> None:
    device = kvm_2013.TceIommu(guest.vm)
    with refused(errno.EFAULT):
        device.linkage()
    assert device.has_attr(p.KVM_DEV_SPAPR_TCE_IOMMU_ATTR_LINKAGE, 12345)
    assert not device.has_attr(1, 0)
    for call in (device.set_attr, device.get_attr):
        with refused(errno.ENXIO):
            call(1, 0, 0)
    with refused(errno.EFAULT):
        device.set_attr(0, 0, 0)
    device.link(LIOBN, guest.group.fd, flags=0xABCD)
    assert device.linkage() == (LIOBN, guest.group.fd, 0xABCD)
    with refused(errno.EBUSY):  # before the address is looked at
        device.set_attr(0, 0, 0)
    with refused(errno.EFAULT):
        device.get_attr(0, 0, 0)
    with refused(errno.ENODEV):
        guest.process.mmap(4096, 3, 1, device.fd)


def test_one_device_for_all_links_unlinks() -> None:
    with System(described("powernv9", LINKS)) as system:
        guest = Guest(system)
        links = kvm_2013.TceIommuLinks(guest.vm)
        with refused(errno.EPERM):
            links.get_attr(0, LIOBN, 0)
        guest.own_table(LINKS)
        links.link(LIOBN, guest.group.fd)
        links.link(LIOBN + 10, guest.group.fd)
        with refused(errno.EINVAL):
            links.unlink(OWN)
        with refused(errno.ENXIO):
            links.unlink(LIOBN + 5)
        links.unlink(LIOBN)
        assert [state.liobn for state in guest.vm.tce_tables()] == [OWN, LIOBN + 10]
        links.link(LIOBN, guest.group.fd)
        with refused(errno.EBUSY):
            guest.group.unset_container()
        links.close()
        guest.group.unset_container()


def test_a_table_as_a_device() -> None:
    with System(described("powernv9", DEVICES)) as system:
        guest = Guest(system)
        device = kvm_2013.TceDevice(guest.vm)
        with refused(errno.ENODEV):
            guest.process.mmap(4096, 3, 1, device.fd)
        with refused(errno.EINVAL):
            device.table()
        with refused(errno.EINVAL):
            device.create(OWN, 4095)
        device.create(OWN, 8 << 12)
        with refused(errno.EBUSY):
            device.create(OWN + 1, 8 << 12)
        assert guest.hcall(H_PUT_TCE, OWN, 0x3000, 0x5003) == H_SUCCESS
        assert device.table().entries() == (0, 0, 0, 0x5003, 0, 0, 0, 0)
        # The request of old makes such a device, too: it answers attributes, and is mapped from
        # offset 0 on as ever.
        old = guest.own_table(IOCTL, OWN + 1)
        assert old.entries() == (0,) * 16
        size = guest.process.mmap(4096, 3, 0x22)
        attribute = k.kvm_device_attr(group=p.KVM_DEV_SPAPR_TCE_ATTR_WINDOW, addr=size)
        old.ioctl(k.KVM_GET_DEVICE_ATTR, attribute)
        assert struct.unpack("<QI", guest.process.peek(size, 12)) == (OWN + 1, 16 << 12)
        old.close()
        guest.own_table(IOCTL, OWN + 1)


# -- what outlives what ----------------------------------------------------------------------------


@pytest.mark.parametrize("how", EVERY)
def test_a_link_keeps_the_group_in_its_container(how: str) -> None:
    with System(described("powernv9", how)) as system:
        guest = Guest(system)
        link = guest.link(how)
        with refused(errno.EBUSY):
            guest.group.unset_container()
        assert guest.hcall(H_PUT_TCE, LIOBN, 0x4000, 0x20003) == H_SUCCESS
        guest.group.close()
        guest.container.close()
        # Nobody but the link has the group now. It is still in use, and so is its table.
        with refused(errno.EBUSY):
            Group(guest.process, 1)
        assert guest.hcall(H_PUT_TCE, LIOBN, 0x5000, 0x30001) == H_SUCCESS
        assert [entry & 3 for entry in guest.tces(3, 4)] == [0, 3, 1, 0]
        assert system.pinned_frames == 32  # two pages of 64 KiB
        link.close()
        assert system.pinned_frames == 0
        Group(guest.process, 1)


@pytest.mark.parametrize("how", EVERY)
@pytest.mark.parametrize(
    "order", list(itertools.permutations(("container", "group", "link", "vm"))), ids=" ".join
)
def test_every_order_of_closing(how: str, order: tuple[str, ...]) -> None:
    with System(described("powernv9", how)) as system:
        guest = Guest(system)
        parts = {
            "container": guest.container,
            "group": guest.group,
            "link": guest.link(how),
            "vm": guest.vm,
        }
        assert guest.hcall(H_PUT_TCE, LIOBN, 0, 0x10003) == H_SUCCESS
        for name in order:
            parts[name].close()
        guest.vcpu.close()
        assert system.pinned_frames == 0
        assert guest.process.locked_vm == 0


def test_what_fails_leaves_nothing_behind() -> None:
    for how in EVERY:
        with System(described("powernv9", how)) as system:
            guest = Guest(system)
            guest.link(how, LIOBN + 1).close()
            before = guest.process.locked_vm, system.used_frames
            for nth in itertools.count(1):
                guest.process.fail_nth = nth
                try:
                    link = guest.link(how)
                except OSError as error:
                    assert error.errno in (errno.ENXIO, errno.ENOMEM)  # noqa: PT017
                    guest.process.fail_nth = 0
                    if how == LINKS:  # the device is there, without a link
                        break
                    continue
                guest.process.fail_nth = 0
                link.close()
                break
            if how != LINKS:
                assert (guest.process.locked_vm, system.used_frames) == before


# -- hypercalls for a linked bus -------------------------------------------------------------------


def test_entries_of_a_linked_bus(guest: Guest) -> None:
    guest.link(DEVICE)
    with guest.levels(real=3, virtual=0, user=0):
        assert guest.hcall(H_PUT_TCE, LIOBN, 0x4000, 0x21003) == H_SUCCESS
        assert guest.hcall(H_PUT_TCE, LIOBN, 0x5000, 0) == H_SUCCESS
        assert guest.indirect(LIOBN, 0x6000, [0x30001, 0x31003, 0x32003]) == H_SUCCESS
    entries = guest.tces(4, 5)
    assert [entry & 3 for entry in entries] == [3, 0, 1, 3, 3]
    assert entries[3] - entries[0] == 0x31003 - 0x21003
    assert guest.system.pinned_frames == 32
    assert guest.system.total_pins == 4 * 16
    with guest.levels(real=1, virtual=0, user=0):
        assert guest.hcall(H_STUFF_TCE, LIOBN, 0, 0, WINDOW >> 12) == H_SUCCESS
    assert guest.tces(4, 5) == [0] * 5
    assert guest.system.pinned_frames == 0


@pytest.mark.parametrize(
    ("call", "answer"),
    [
        ((H_PUT_TCE, LIOBN, 0x4001, 0x20003), H_PARAMETER),  # not aligned
        ((H_PUT_TCE, LIOBN, WINDOW, 0x20003), H_PARAMETER),
        ((H_PUT_TCE, LIOBN, (1 << 64) - 4096, 0x20003), H_PARAMETER),
        ((H_PUT_TCE, LIOBN, 0x4000, 0x20007), H_PARAMETER),  # a bit that entries have not
        ((H_PUT_TCE, LIOBN, 0x4000, 0x20004), H_SUCCESS),  # clears: no other bit is looked at
        ((H_STUFF_TCE, LIOBN, 0, 0x1000, 1), H_PARAMETER),
        ((H_STUFF_TCE, LIOBN, 0, 0, (WINDOW >> 12) + 1), H_PARAMETER),
        ((H_STUFF_TCE, LIOBN, 0x1000, 0, 1 << 63), H_PARAMETER),
        ((H_STUFF_TCE, LIOBN, 0x1000, 0, 0), H_SUCCESS),
        ((H_PUT_TCE_INDIRECT, LIOBN, 0, LIST, 513), H_PARAMETER),
        ((H_PUT_TCE_INDIRECT, LIOBN, 0, LIST + 8, 1), H_PARAMETER),
        ((H_PUT_TCE_INDIRECT, LIOBN, WINDOW - 4096, LIST, 2), H_PARAMETER),
        ((H_PUT_TCE_INDIRECT, LIOBN, (1 << 64) - 4096, LIST, 2), H_PARAMETER),
        ((H_PUT_TCE_INDIRECT, LIOBN, 0, LIST, 1), H_PARAMETER),  # without rights
        ((H_PUT_TCE_INDIRECT, LIOBN, 0, LIST, 0), H_SUCCESS),
    ],
)
def test_what_real_mode_refuses(guest: Guest, call: tuple[int, ...], answer: int) -> None:
    guest.link(DEVICE)
    with guest.levels(real=1, virtual=0, user=0):
        assert guest.hcall(*call) == answer
    assert guest.tces(0, 16) == [0] * 16
    assert guest.system.pinned_frames == 0


def test_only_an_unknown_bus_is_user_spaces(guest: Guest) -> None:
    guest.link(DEVICE)
    with guest.levels(real=0, virtual=0, user=4):
        assert guest.hcall(H_PUT_TCE, 5, 0, 3) is None
        assert guest.indirect(5, 0, [3]) is None
        assert guest.hcall(H_PUT_TCE_INDIRECT, LIOBN, 0, RAM, 1) is None  # no such list
        assert guest.hcall(H_GET_TCE, LIOBN, 0) is None
    with guest.levels(real=0, virtual=1, user=0):
        assert guest.hcall(H_PUT_TCE, LIOBN, 0, RAM | 3) == H_HARDWARE  # no such page


def test_an_entry_in_the_way(guest: Guest) -> None:
    """Real mode has taken the page and cannot put it; virtual mode cannot either."""
    guest.link(DEVICE)
    assert guest.hcall(H_PUT_TCE, LIOBN, 0x3000, 0x20003) == H_SUCCESS
    before = guest.tces(0, 8)
    with guest.levels(real=0, virtual=1, user=0):
        assert guest.hcall(H_PUT_TCE, LIOBN, 0x3000, 0x30003) == H_HARDWARE
    with guest.levels(real=1, virtual=0, user=0):
        assert guest.indirect(LIOBN, 0x1000, [0x30003, 0x40003, 0x50003]) == H_HARDWARE
    assert guest.tces(0, 8) == before
    assert guest.system.pinned_frames == 16


def test_real_mode_cannot_let_go_of_the_last_reference(guest: Guest) -> None:
    guest.link(DEVICE)
    values = [page << 16 | 3 for page in range(4)]
    assert guest.indirect(LIOBN, 0, values) == H_SUCCESS
    guest.process.munmap(guest.ram + 0x20000, 0x10000)
    assert guest.system.pinned_frames == 64
    # The third page is the link's alone: real mode clears two, virtual mode the others.
    with guest.levels(real=0, virtual=1, user=0):
        assert guest.hcall(H_STUFF_TCE, LIOBN, 0, 0, 4) == H_SUCCESS
    assert guest.tces(0, 4) == [0] * 4
    assert guest.system.pinned_frames == 0
    with guest.levels(real=0, virtual=1, user=0):
        assert guest.hcall(H_PUT_TCE, LIOBN, 0, 0x20003) == H_HARDWARE  # it is gone


def test_virtual_mode_goes_on_where_real_mode_stopped(guest: Guest) -> None:
    """The nth page that real mode wants is not to be had there; the list's page is its last."""
    guest.link(DEVICE)
    values = [page << 16 | 3 for page in range(4)]
    for nth in range(1, 6):
        guest.process.fail_nth = nth
        with guest.levels(real=0, virtual=1, user=0):
            assert guest.indirect(LIOBN, 0, values) == H_SUCCESS
        assert [entry & 3 for entry in guest.tces(0, 5)] == [3, 3, 3, 3, 0]
        assert guest.system.total_pins == 64  # each page once
        with guest.levels(real=1, virtual=0, user=0):
            assert guest.hcall(H_STUFF_TCE, LIOBN, 0, 0, 4) == H_SUCCESS
        assert guest.system.total_pins == 0
    # Stopped, and then there is no page: what was taken is given back.
    with guest.levels(real=0, virtual=1, user=0):
        assert guest.indirect(LIOBN, 0, [*values, RAM | 3]) == H_HARDWARE
    assert guest.system.total_pins == 0
    guest.process.fail_nth = 1
    with guest.levels(real=0, virtual=1, user=0):
        assert guest.hcall(H_PUT_TCE, LIOBN, 0, 0x20003) == H_SUCCESS
    assert guest.system.total_pins == 16


def test_real_mode_forgets_what_it_does_not_find() -> None:
    for fixed, answer, level in (((), H_SUCCESS, 0), ((FORGETS,), H_HARDWARE, 1)):
        with System(described("powernv9", DEVICE, fixed=fixed)) as system:
            guest = Guest(system)
            guest.link(DEVICE)
            with guest.levels(real=1 - level, virtual=level, user=0):
                assert guest.hcall(H_PUT_TCE, LIOBN, 0, RAM | 3) == answer
            assert guest.tces(0, 1) == [0]


def test_a_page_that_is_read_only_is_given_to_a_device_that_writes() -> None:
    for fixed, answer in (((), H_SUCCESS), ((PINS,), H_HARDWARE)):
        with System(described("powernv9", DEVICE, fixed=(FORGETS, *fixed))) as system:
            guest = Guest(system)
            guest.link(DEVICE)
            guest.process.mprotect(guest.ram, 0x10000, 1)
            with guest.levels(real=0, virtual=1, user=0):
                assert guest.hcall(H_PUT_TCE, LIOBN, 0, 0x3) == answer
            with guest.levels(real=1, virtual=0, user=0):
                assert guest.hcall(H_PUT_TCE, LIOBN, 0x1000, 0x1) == H_SUCCESS


def test_a_guest_of_another_hypervisor_has_no_real_mode() -> None:
    with System(described("pseries", DEVICE)) as system:
        guest = Guest(system)
        guest.link(DEVICE)
        with guest.levels(real=0, virtual=3, user=0):
            assert guest.hcall(H_PUT_TCE, LIOBN, 0x4000, 0x20003) == H_SUCCESS
            assert guest.hcall(H_PUT_TCE, LIOBN, 0x5000, RAM | 3) == H_HARDWARE
            assert guest.hcall(H_PUT_TCE, LIOBN, 0x4000, 0) == H_SUCCESS
        with guest.levels(real=0, virtual=0, user=1):
            assert guest.hcall(H_PUT_TCE, 5, 0, 3) is None


# -- tables of KVM's own ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "answer"),
    [
        ((H_PUT_TCE, OWN, 0x3FFF, 0x123456789003), H_SUCCESS),  # any place in a page, any address
        ((H_PUT_TCE, OWN, 16 << 12, 3), H_PARAMETER),
        ((H_PUT_TCE, OWN, 0, 0x8), H_PARAMETER),
        ((H_PUT_TCE, OWN, 0, 0x5000), H_SUCCESS),
        ((H_STUFF_TCE, OWN, 0, 0x5000, 16), H_SUCCESS),
        ((H_STUFF_TCE, OWN, 0, 0x5000, 17), H_PARAMETER),
        ((H_STUFF_TCE, OWN, 0x1000, 0, 1 << 60), H_PARAMETER),
        ((H_STUFF_TCE, OWN, 0, 0x5004, 1), H_PARAMETER),
        ((H_STUFF_TCE, OWN, 0, 0x5001, 1), H_PARAMETER),
        ((H_PUT_TCE_INDIRECT, OWN, 15 << 12, LIST, 1), H_SUCCESS),
        ((H_PUT_TCE_INDIRECT, OWN, 15 << 12, LIST, 2), H_PARAMETER),
    ],
)
def test_what_real_mode_keeps(guest: Guest, call: tuple[int, ...], answer: int) -> None:
    table = guest.own_table(IOCTL)
    guest.process.poke(guest.ram + LIST, struct.pack(">Q", 0x7003))
    with guest.levels(real=1, virtual=0, user=0):
        assert guest.hcall(*call) == answer
    if answer == H_PARAMETER:
        assert table.entries() == (0,) * 16
    else:
        assert any(table.entries())


def test_a_list_is_looked_at_as_a_whole(guest: Guest) -> None:
    table = guest.own_table(IOCTL)
    assert guest.indirect(OWN, 0, [0x1003, 0x2003, 0x3004]) == H_PARAMETER
    assert not any(table.entries())
    assert guest.indirect(OWN, 0, [0x1003, 0, 0x3000]) == H_SUCCESS
    assert table.entries()[:3] == (0x1003, 0, 0x3000)
    with guest.levels(real=0, virtual=1, user=0):
        assert guest.hcall(H_GET_TCE, OWN, 0x2FFF) == H_SUCCESS
    guest.process.fail_nth = 1
    with guest.levels(real=0, virtual=1, user=0):
        assert guest.indirect(OWN, 0x4000, [0x9003]) == H_SUCCESS
    assert table.entries()[4] == 0x9003


# -- every way comes to the same -------------------------------------------------------------------


PROGRAM: list[tuple[int, ...]] = [
    (H_PUT_TCE, LIOBN, 0x1000, 0x20003),
    (H_PUT_TCE, LIOBN, 0x2000, 0x31001),
    (H_PUT_TCE, LIOBN, 0x1000, 0x40003),
    (H_PUT_TCE, LIOBN, 0x7000, 0x40007),
    (H_PUT_TCE, OWN, 0xA000, 0x40003),
    (H_PUT_TCE_INDIRECT, LIOBN, 0x10000, LIST, 8),
    (H_PUT_TCE_INDIRECT, OWN, 0x1000, LIST, 8),
    (H_STUFF_TCE, LIOBN, 0x11000, 0, 2),
    (H_STUFF_TCE, OWN, 0x2000, 0xA000, 3),
    (H_GET_TCE, OWN, 0xA000),
]


def after_the_program(name: str, how: str) -> tuple[list[int | None], list[TceState]]:
    with System(described(name, how)) as system:
        guest = Guest(system)
        guest.own_table(how)
        guest.link(how)
        values = [page << 16 | 1 + page % 3 for page in range(8)]
        guest.process.poke(guest.ram + LIST, struct.pack(">8Q", *values))
        return [guest.hcall(*call) for call in PROGRAM], guest.vm.tce_tables()


@pytest.mark.parametrize("name", ["powernv9", "powernv9-4k", "pseries", "pseries-4k"])
def test_every_way_to_link_comes_to_the_same_state(name: str) -> None:
    answers, states = after_the_program(name, IOCTL)
    assert answers.count(H_SUCCESS) == 8
    assert [state.liobn for state in states] == [LIOBN, OWN]
    linked, own = states
    assert linked.group == 1
    assert sorted(linked.entries) == [1, 2, 16, *range(19, 24)]
    assert own.group is None
    assert own.entries[10] == 0x40003
    assert "bus 80000001: a table of group 1" in str(linked)
    assert "000000000000a000 rw 0000000000040000" in str(own)
    for how in (DEVICE, LINKS, DEVICES):
        assert after_the_program(name, how) == (answers, states)
