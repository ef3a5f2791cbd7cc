# SPDX-License-Identifier: MIT
"""What depends on the architecture of a machine, and on who has set up its PCI functions."""

from __future__ import annotations

import dataclasses
import errno
import os
import struct
from typing import NamedTuple

import pytest

from boards import group_of
from kvmiommu import System, machine, uapi
from kvmiommu.machine import Machine
from kvmiommu.uapi import kvm
from kvmiommu.vfio import Container, Group

CONFIG = uapi.vfio.VFIO_PCI_CONFIG_REGION_INDEX
EDU = "0000:00:02.0"


class Header(NamedTuple):
    """What the kernel found in a function's configuration space."""

    command: int
    line: int
    type: int


def header(description: Machine, address: str = EDU) -> Header:
    with System(description) as system:
        process = system.process()
        container, group = Container(process), Group(process, group_of(description, address))
        group.set_container(container)
        container.set_iommu()
        space = group.get_device(address).read(CONFIG, 0, 64)
        return Header(*struct.unpack_from("<H", space, 4), space[0x3C], space[0x0E])


def with_line(description: Machine, line: int | None) -> Machine:
    functions = tuple(
        dataclasses.replace(each, interrupt_line=line) if each.address == EDU else each
        for each in description.pci
    )
    return dataclasses.replace(description, pci=functions)


def test_firmware_turns_on_everything_and_the_kernel_what_a_function_has() -> None:
    q35 = machine.load("q35-intel")
    assert header(q35).command == 0x103  # I/O, memory, SERR
    bare = machine.load("q35-intel", firmware=False)
    assert header(bare).command == 0x2  # edu has memory alone
    assert header(bare, "0000:00:05.0").command == 0x3  # pci-testdev has both


def test_an_interrupt_line_is_that_of_the_description_or_of_firmware() -> None:
    q35, bare = machine.load("q35-intel"), machine.load("q35-intel", firmware=False)
    assert (header(q35).line, header(bare).line) == (11, 0)
    assert header(with_line(q35, 0)).line == 0
    assert header(with_line(bare, 24)).line == 24


def test_the_first_function_of_several_says_so() -> None:
    arm = machine.load("virt-smmuv3")
    assert header(arm, "0000:00:06.0").type == 0x80
    assert header(arm, "0000:00:06.1").type == 0
    assert header(arm).type == 0


@pytest.mark.parametrize(
    ("name", "slots", "pages", "boot_cpu_id"),
    [
        ("q35-intel", 32764, 3, None),
        ("virt-smmuv3", 32767, 2, errno.EINVAL),
        ("virt-smmuv3-64k", 32767, 2, errno.EINVAL),
        ("virt-riscv", 32767, 2, errno.EINVAL),
        ("pseries", 32767, 1, errno.ENOTTY),
    ],
)
def test_kvm_has_what_the_architecture_has(
    name: str, slots: int, pages: int, boot_cpu_id: int | None
) -> None:
    with System(name) as system:
        process, abi = system.process(), system.machine.abi
        module = process.open("/dev/kvm", os.O_RDWR)

        def ask(request: uapi.Request, argument: int = 0, fd: int = module) -> int:
            return process.ioctl(fd, request.number(abi), argument)

        vm = ask(kvm.KVM_CREATE_VM)
        assert ask(kvm.KVM_CHECK_EXTENSION, kvm.KVM_CAP_NR_MEMSLOTS) == slots
        assert ask(kvm.KVM_GET_VCPU_MMAP_SIZE) == pages * system.machine.page_size
        capable = ask(kvm.KVM_CHECK_EXTENSION, kvm.KVM_CAP_SET_BOOT_CPU_ID)
        assert capable == (boot_cpu_id is None)
        if boot_cpu_id is None:
            assert ask(kvm.KVM_SET_BOOT_CPU_ID, 0, vm) == 0
        else:
            with pytest.raises(OSError, match="means nothing") as refused:
                ask(kvm.KVM_SET_BOOT_CPU_ID, 0, vm)
            assert refused.value.errno == boot_cpu_id
