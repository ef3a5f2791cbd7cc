# SPDX-License-Identifier: MIT
"""Who keeps what alive: descriptors of containers, groups, devices and KVM in every order.

A descriptor closed is not an object destroyed. Whatever is closed first, nothing may leak, nothing
may be used after it is gone, and what is left must answer as if the order had been another one.
"""

from __future__ import annotations

import itertools
import os

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from kvmiommu import System, kvm, uapi, vfio
from kvmiommu.process import Process

MOST = 3  # of each kind
GROUPS = {1: ("0000:00:02.0",), 3: ("0000:02:01.0", "0000:02:02.0"), 4: ("0000:00:05.0",)}
ANONYMOUS = 0x22


def scene(process: Process) -> dict[str, int]:
    """A VMM's usual set: a container with a group and a device, a VM with its pseudo device."""
    container = vfio.Container(process)
    group = vfio.Group(process, 1)
    group.set_container(container)
    container.set_iommu()
    container.map_dma(0, process.mmap(0x10000, 3, ANONYMOUS), 0x10000)
    module = kvm.Kvm(process)
    vm = module.create_vm()
    module.close()
    pseudo = vm.create_device(uapi.kvm.KVM_DEV_TYPE_VFIO)
    pseudo.add_file(group.fd)
    device = group.get_device("0000:00:02.0")
    return {
        "container": container.fd,
        "group": group.fd,
        "device": device.fd,
        "vm": vm.fd,
        "pseudo": pseudo.fd,
    }


@pytest.mark.parametrize(
    "order",
    list(itertools.permutations(("container", "group", "device", "vm", "pseudo"))),
    ids=" ".join,
)
def test_every_order_of_five(order: tuple[str, ...]) -> None:
    with System("q35-intel") as system:
        process = system.process()
        opened = scene(process)
        remaining = set(order)
        for name in order:
            process.close(opened[name])
            remaining.discard(name)
            # The group is held by its descriptor, by an open device and by KVM.
            held = bool(remaining & {"group", "device", "pseudo"})
            assert group_is_open(process) == held
        assert system.pinned_frames == 0
        assert process.status("VmLck") == 0


def group_is_open(process: Process) -> bool:
    try:
        fd = process.open("/dev/vfio/1", os.O_RDWR)
    except OSError:
        return True
    process.close(fd)
    return False


class Descriptors(RuleBasedStateMachine):
    """Opens, joins, adds and closes at random; the system finds the leak, if there is one."""

    def __init__(self) -> None:
        super().__init__()
        self.system = System("q35-intel")
        self.process = self.system.process()
        self.containers: list[vfio.Container] = []
        self.groups: dict[int, vfio.Group] = {}
        self.devices: list[vfio.Device] = []
        self.vms: list[kvm.VM] = []
        self.pseudos: list[kvm.Device] = []
        self.copies: list[int] = []

    @initialize()
    def memory(self) -> None:
        self.buffer = self.process.mmap(0x10000, 3, ANONYMOUS)
        self.kvm = kvm.Kvm(self.process)

    @precondition(lambda self: len(self.containers) < MOST)
    @rule()
    def open_container(self) -> None:
        self.containers.append(vfio.Container(self.process))

    @rule(number=st.sampled_from(sorted(GROUPS)))
    def open_group(self, number: int) -> None:
        try:
            group = vfio.Group(self.process, number)
        except OSError as refused:
            assert refused.errno == 16  # noqa: PT017 - EBUSY is the one answer, whoever holds it
        else:
            assert number not in self.groups
            self.groups[number] = group

    @precondition(lambda self: self.groups and self.containers)
    @rule(data=st.data())
    def join(self, data: st.DataObject) -> None:
        group = self.groups[data.draw(st.sampled_from(sorted(self.groups)))]
        self.quietly(group.set_container, data.draw(st.sampled_from(self.containers)).fd)

    @precondition(lambda self: self.groups)
    @rule(data=st.data())
    def leave(self, data: st.DataObject) -> None:
        self.quietly(self.groups[data.draw(st.sampled_from(sorted(self.groups)))].unset_container)

    @precondition(lambda self: self.containers)
    @rule(data=st.data(), version=st.sampled_from((1, 3)))
    def set_iommu(self, data: st.DataObject, version: int) -> None:
        self.quietly(data.draw(st.sampled_from(self.containers)).set_iommu, version)

    @precondition(lambda self: self.containers)
    @rule(data=st.data(), page=st.integers(0, 15))
    def map(self, data: st.DataObject, page: int) -> None:
        container = data.draw(st.sampled_from(self.containers))
        self.quietly(container.map_dma, page << 12, self.buffer + (page << 12), 0x1000)

    @precondition(lambda self: self.groups and len(self.devices) < MOST)
    @rule(data=st.data())
    def open_device(self, data: st.DataObject) -> None:
        number = data.draw(st.sampled_from(sorted(self.groups)))
        name = data.draw(st.sampled_from(GROUPS[number]))
        device = self.quietly(self.groups[number].get_device, name)
        if device is not None:
            self.devices.append(device)

    @precondition(lambda self: len(self.vms) < MOST)
    @rule()
    def create_vm(self) -> None:
        self.vms.append(self.kvm.create_vm())

    @precondition(lambda self: self.vms and len(self.pseudos) < MOST)
    @rule(data=st.data())
    def create_pseudo_device(self, data: st.DataObject) -> None:
        vm = data.draw(st.sampled_from(self.vms))
        pseudo = self.quietly(vm.create_device, uapi.kvm.KVM_DEV_TYPE_VFIO)
        if pseudo is not None:
            self.pseudos.append(pseudo)

    @precondition(lambda self: self.pseudos and (self.groups or self.devices))
    @rule(data=st.data(), add=st.booleans())
    def tell_kvm(self, data: st.DataObject, add: bool) -> None:
        pseudo = data.draw(st.sampled_from(self.pseudos))
        file = data.draw(st.sampled_from([*self.groups.values(), *self.devices])).fd
        self.quietly(pseudo.add_file if add else pseudo.del_file, file)

    @rule(data=st.data())
    def dup(self, data: st.DataObject) -> None:
        everything = self.everything()
        if everything and len(self.copies) < MOST:
            self.copies.append(data.draw(st.sampled_from(everything)).dup())

    @rule(data=st.data())
    def close(self, data: st.DataObject) -> None:
        choices = [("descriptor", thing) for thing in self.everything()]
        choices += [("copy", copy) for copy in self.copies]
        if not choices:
            return
        kind, thing = data.draw(st.sampled_from(choices))
        if kind == "copy":
            self.copies.remove(thing)
            self.process.close(thing)
            return
        thing.close()
        self.groups = {n: group for n, group in self.groups.items() if group is not thing}
        for some in (self.containers, self.devices, self.vms, self.pseudos):
            if thing in some:
                some.remove(thing)

    def everything(self) -> list:
        return [
            *self.containers,
            *self.groups.values(),
            *self.devices,
            *self.vms,
            *self.pseudos,
        ]

    @staticmethod
    def quietly(call, *arguments):
        """The answer, or nothing where it is refused: what may be refused is not asked here."""
        try:
            return call(*arguments)
        except OSError:
            return None

    def teardown(self) -> None:
        for copy in self.copies:
            self.process.close(copy)
        for thing in self.everything():
            thing.close()
        if hasattr(self, "kvm"):
            self.kvm.close()
        assert self.system.pinned_frames == 0
        assert self.process.status("VmLck") == 0
        alive = {line.split(",")[0] for line in self.system.alive}
        assert alive == {"mm_struct", "/dev/null"}
        self.system.close()


TestDescriptors = Descriptors.TestCase
