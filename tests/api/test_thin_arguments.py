# SPDX-License-Identifier: MIT
"""What the thin objects take as numbers and descriptors, and what they refuse before a call."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator

import pytest

from kvmiommu import System, kvm, kvm_2013, uapi
from kvmiommu.kvm import Kvm
from kvmiommu.spapr import SpaprContainer
from kvmiommu.vfio import Container, Group
from vfio_scene import E1000E, Scene, scene

PAGE = 4096
TOO_LARGE = 1 << 64


@pytest.fixture
def running() -> Iterator[Scene]:
    with scene(8) as running:
        yield running


@pytest.mark.parametrize("number", [TOO_LARGE, TOO_LARGE + 0x5000, -PAGE, -1])
def test_numbers_that_do_not_fit_are_refused_by_name(running: Scene, number: int) -> None:
    container = running.container
    buffer = running.process.mmap(PAGE, 3, 0x22)
    calls: dict[str, list[Callable[[], object]]] = {
        "iova": [
            lambda: container.map_dma(number, buffer, PAGE),
            lambda: container.unmap_dma(number, PAGE),
            lambda: container.unmap_dma(number, PAGE, bitmap=PAGE),
            lambda: container.invalidate_vaddr(number, PAGE),
            lambda: container.dirty_bitmap(number, PAGE),
        ],
        "address": [
            lambda: container.map_dma(0, number, PAGE),
            lambda: container.update_vaddr(0, number, PAGE),
        ],
        "size": [
            lambda: container.map_dma(0, buffer, number),
            lambda: container.unmap_dma(0, number),
            lambda: container.unmap_dma(0, number, bitmap=PAGE),
            lambda: container.dirty_bitmap(0, number),
        ],
        "page_size": [lambda: container.dirty_bitmap(0, PAGE, page_size=number)],
        "bitmap": [lambda: container.unmap_dma(0, PAGE, bitmap=number)],
        "extension": [lambda: container.check_extension(number)],
        "type": [lambda: container.set_iommu(number)],
    }
    for name, ways in calls.items():
        for call in ways:
            with pytest.raises(OverflowError, match=rf"^{name} "):
                call()
    assert container.unmap_all() == 0


def test_what_is_no_number_is_refused_by_name(running: Scene) -> None:
    with pytest.raises(TypeError, match="iova must be an integer, not str"):
        running.container.map_dma("0", 0, PAGE)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="container must be an integer or a Descriptor, not str"):
        running.groups[8].set_container("3")  # type: ignore[arg-type]


def test_a_descriptor_is_a_number_or_the_object_that_has_it(running: Scene) -> None:
    group, process = running.groups[8], running.process
    group.unset_container()
    group.set_container(running.container.fd)
    group.unset_container()
    with pytest.raises(OverflowError, match="container"):
        group.set_container(1 << 31)
    with pytest.raises(OSError) as refused:  # noqa: PT011 - the errno is looked at
        group.set_container(-1)
    assert refused.value.errno == errno.EBADF
    with Kvm(process).create_vm() as vm, vm.create_device(uapi.kvm.KVM_DEV_TYPE_VFIO) as device:
        device.add_file(group)
        device.del_file(group.fd)


def test_objects_of_another_process_are_refused_by_name(running: Scene) -> None:
    theirs = Container(running.system.process())
    device = running.open(E1000E)
    with pytest.raises(ValueError, match=r"wakeup is .* of another process"):
        device.low_power_entry(theirs)
    with pytest.raises(ValueError, match=r"eventfd is .* of another process"):
        device.ioeventfd(0, 0, 0, theirs)
    group = running.groups[8]
    with pytest.raises(ValueError, match=r"container is .* of another process"):
        group.set_container(theirs)
    with Kvm(running.process).create_vm() as vm:
        pseudo = vm.create_device(uapi.kvm.KVM_DEV_TYPE_VFIO)
        with pytest.raises(ValueError, match=r"file is .* of another process"):
            pseudo.add_file(theirs)
        with pytest.raises(ValueError, match=r"table is .* of another process"):
            pseudo.set_spapr_tce(group, theirs)
        with pytest.raises(ValueError, match=r"group is .* of another process"):
            kvm_2013.create_spapr_tce_iommu(vm, 1, theirs)


def test_numbers_of_powers_requests_are_refused_by_name() -> None:
    with System("powernv9") as system:
        process = system.process()
        container, group = SpaprContainer(process), Group(process, 1)
        group.set_container(container)
        container.set_iommu()
        vm = Kvm(process).create_vm()
        calls: dict[str, Callable[[], object]] = {
            "address": lambda: container.register_memory(-1, PAGE),
            "size": lambda: container.create_window(12, TOO_LARGE),
            "page_shift": lambda: container.create_window(1 << 32, 1 << 28),
            "levels": lambda: container.create_window(12, 1 << 28, -1),
            "start": lambda: container.remove_window(-1),
            "op": lambda: container.eeh_pe_op(1 << 32),
            "liobn": lambda: vm.create_spapr_tce(-1, window_size=PAGE),
            "window_size": lambda: vm.create_spapr_tce(1, window_size=1 << 32),
            "offset": lambda: vm.create_spapr_tce(1, offset=-1, size=1),
            "slot": lambda: vm.set_user_memory_region(1 << 32, 0, 0, PAGE),
            "guest_phys_addr": lambda: vm.set_user_memory_region(0, -1, 0, PAGE),
            "arguments": lambda: vm.enable_hcall(-1),
            "id": lambda: vm.create_vcpu(-1),
            "type": lambda: vm.create_device(1 << 32),
            "attr": lambda: kvm.Device(process, vm.fd).has_attr(0, -1),
        }
        for name, call in calls.items():
            with pytest.raises(OverflowError, match=rf"^{name} "):
                call()
        with pytest.raises(TypeError, match="four arguments"):
            vm.enable_cap(1, 2, 3, 4, 5, 6)
