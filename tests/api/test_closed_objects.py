# SPDX-License-Identifier: MIT
"""Objects that are closed: another file may have their number, and nothing may reach it."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from kvmiommu import Process, System
from kvmiommu.kvm import VM, Kvm
from kvmiommu.vfio import Container, Device, Group, Mapping


@pytest.fixture
def process() -> Iterator[Process]:
    with System("q35-intel") as system:
        yield system.process()


def test_a_closed_device_does_not_write_into_the_one_that_has_its_number(process: Process) -> None:
    container = Container(process)
    groups = [Group(process, number) for number in (1, 4)]
    for group in groups:
        group.set_container(container)
    container.set_iommu()
    first = groups[0].get_device("0000:00:02.0")
    number = first.fd
    first.close()
    second = groups[1].get_device("0000:00:05.0")
    assert second.fd == number
    before = second.read(7, 4, 2)
    with pytest.raises(ValueError, match="closed"):
        first.write(7, 4, bytes([before[0] ^ 2, before[1]]))
    assert second.read(7, 4, 2) == before


@pytest.mark.parametrize(
    "use",
    [
        lambda device: device.fd,
        lambda device: device.dup(),
        lambda device: device.get_info(),
        lambda device: device.read(7, 0, 4),
        lambda device: device.write(7, 4, b"\2\0"),
        lambda device: device.hot_reset([]),
        lambda device: device.feature_probe(1),
        lambda device: device.msi.get_info(),
        lambda device: device.region(0),
    ],
)
def test_a_call_on_a_closed_object_is_an_error(
    process: Process, use: Callable[[Device], object]
) -> None:
    with Container(process) as container, Group(process, 1) as group:
        group.set_container(container)
        container.set_iommu()
        device = group.get_device("0000:00:02.0")
        device.close()
        process.eventfd(0, 0)  # has its number now
        with pytest.raises(ValueError, match=r"operation on <Device 0000:00:02\.0, .*, closed>"):
            use(device)


def test_a_region_and_an_interrupt_end_with_their_device(process: Process) -> None:
    with Container(process) as container, Group(process, 1) as group:
        group.set_container(container)
        container.set_iommu()
        device = group.get_device("0000:00:02.0")
        region, irq = device.region(7), device.msi
        device.close()
        for use in (lambda: region.read(0, 4), region.mmap, irq.get_info):
            with pytest.raises(ValueError, match="closed"):
                use()


def test_a_mapping_that_was_closed_is_not_looked_at(process: Process) -> None:
    address = process.mmap(4096, 3, 0x22)
    mapping = Mapping(process, address, 4096)
    mapping.close()
    with pytest.raises(ValueError, match="unmapped"):
        mapping.peek(0, 4)
    with pytest.raises(ValueError, match="unmapped"):
        mapping.poke(0, b"\0")


def test_an_object_that_its_process_closes_is_closed(process: Process) -> None:
    with Container(process) as container:
        number = container.fd
        process.close(container)
        assert repr(container) == f"<Container, descriptor {number}, closed>"
        assert process.eventfd(1) == number
    assert process.read(number, 8) == (1).to_bytes(8, "little")


def test_offsets_do_not_reach_the_next_region(process: Process) -> None:
    with Container(process) as container, Group(process, 1) as group:
        group.set_container(container)
        container.set_iommu()
        with group.get_device("0000:00:02.0") as device:
            for offset in (-4, 1 << 40):
                with pytest.raises(OverflowError, match="offset"):
                    device.read(6, offset, 4)
                with pytest.raises(OverflowError, match="offset"):
                    device.region(7).write(offset, b"\0")
            with pytest.raises(OverflowError, match="index"):
                device.read(1 << 23, 0, 4)


def test_a_question_is_not_answered_by_a_failure(process: Process) -> None:
    vm: VM = Kvm(process).create_vm()
    process.close(vm.fd)
    with pytest.raises(OSError, match="Bad file descriptor"):
        vm.can_create_device(4)


@pytest.mark.parametrize("kind", [Container, Kvm, lambda other: Group(other, 1)])
def test_objects_are_made_of_a_process(process: Process, kind: Callable[[object], object]) -> None:
    with pytest.raises(TypeError, match=r"process must be a kvmiommu\.Process, not object"):
        kind(object())


@pytest.mark.parametrize("number", [None, 1.0, "1", "../vfio/1"])
def test_a_group_has_a_number(process: Process, number: int) -> None:
    with pytest.raises(TypeError, match="number must be an integer"):
        Group(process, number)


def test_arguments_of_a_wrong_type_are_named(process: Process) -> None:
    with Container(process) as container, Group(process, 1) as group:
        with pytest.raises(TypeError, match=r"request must be one of kvmiommu\.uapi's"):
            container.ioctl(0x3B64)  # type: ignore[arg-type]
        for name, error in ((b"x", TypeError), (None, TypeError), ("a\0b", ValueError)):
            with pytest.raises(error, match="name"):
                group.get_device(name)  # type: ignore[arg-type]
