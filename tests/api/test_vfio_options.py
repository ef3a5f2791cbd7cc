# SPDX-License-Identifier: MIT
"""Module parameters of VFIO, as a machine's description sets them, and types of containers."""

from __future__ import annotations

import dataclasses
import errno

import pytest

from kvmiommu import System, machine, uapi
from kvmiommu.machine import Machine
from kvmiommu.process import Process
from kvmiommu.vfio import Container, Group

_v = uapi.vfio

Q35 = machine.load("q35-intel")
PAGE, LARGE = 4 << 10, 2 << 20


def with_option(name: str, value: int | bool) -> Machine:
    return dataclasses.replace(Q35, options={**Q35.options, name: value})


def joined(process: Process) -> Container:
    container = Container(process)
    Group(process, 1).set_container(container)
    return container


def test_dma_entry_limit() -> None:
    with System(with_option("vfio_iommu_type1.dma_entry_limit", 2)) as system:
        process = system.process()
        container = joined(process)
        container.set_iommu()
        buffer = process.mmap(PAGE, 3, 0x22)
        container.map_dma(0, buffer, PAGE)
        container.map_dma(PAGE, buffer, PAGE)
        assert container.get_info().dma_avail == 0
        with pytest.raises(OSError, match="all 2 mappings") as refused:
            container.map_dma(2 * PAGE, buffer, PAGE)
        assert refused.value.errno == errno.ENOSPC
        # Whether it meets a mapping is looked at first.
        with pytest.raises(FileExistsError):
            container.map_dma(0, buffer, PAGE)
        container.unmap_dma(0, PAGE)
        container.map_dma(2 * PAGE, buffer, PAGE)


@pytest.mark.parametrize(("disabled", "tables"), [(False, 2), (True, 3)])
def test_disable_hugepages(disabled: bool, tables: int) -> None:
    """A leaf of 2 MiB needs no table for its pages: root's two tables below, or one more."""
    with System(with_option("vfio_iommu_type1.disable_hugepages", disabled)) as system:
        process = system.process()
        container = joined(process)
        container.set_iommu()
        buffer = process.mmap(LARGE, 3, 0x22)
        container.check_extension(1)
        container.map_dma(LARGE, buffer, PAGE)  # argument blocks and the like are there now
        container.unmap_all()
        container.get_info()
        before = system.used_frames
        container.map_dma(1 << 40, buffer, LARGE)
        assert system.used_frames - before == tables
        assert process.status("VmLck") == LARGE // 1024
        container.unmap_all()
        assert process.status("VmLck") == 0


@pytest.mark.parametrize("allowed", [False, True])
def test_interrupts_without_isolation(allowed: bool) -> None:
    base = with_option("vfio_iommu_type1.allow_unsafe_interrupts", allowed)
    unsafe = dataclasses.replace(
        base, iommus=(dataclasses.replace(Q35.iommus[0], isolated_msi=False),)
    )
    with System(unsafe) as system:
        container = joined(system.process())
        if allowed:
            container.set_iommu()
        else:
            with pytest.raises(PermissionError, match="other devices' interrupts"):
                container.set_iommu()
            # Refused, it is as before.
            with pytest.raises(PermissionError):
                container.set_iommu(_v.VFIO_TYPE1_IOMMU)


def test_nothing_nests() -> None:
    with System(Q35) as system:
        container = joined(system.process())
        assert container.check_extension(_v.VFIO_TYPE1_NESTING_IOMMU) == 1
        with pytest.raises(OSError, match="to nest in") as refused:
            container.set_iommu(_v.VFIO_TYPE1_NESTING_IOMMU)
        assert refused.value.errno == errno.EINVAL
        container.set_iommu()


@pytest.mark.parametrize("extension", [_v.VFIO_UNMAP_ALL])
def test_an_extension_is_no_type(extension: int) -> None:
    with System(Q35) as system:
        container = joined(system.process())
        with pytest.raises(OSError, match="not a type") as refused:
            container.set_iommu(extension)
        assert refused.value.errno == errno.EINVAL


@pytest.mark.parametrize(
    ("kind", "reserved"), [("direct", False), ("direct-relaxable", False), ("reserved", True)]
)
def test_a_region_of_a_function_is_its_groups(kind: str, reserved: bool) -> None:
    """One that firmware relies on keeps VFIO out; of the others, what is reserved is not mapped."""
    region = machine.Reserved(0xBDF00000, 0xBDFFFFFF, kind)
    functions = tuple(
        dataclasses.replace(each, reserved=(region,)) if each.group == 1 else each
        for each in Q35.pci
    )
    with System(dataclasses.replace(Q35, pci=functions)) as system:
        process = system.process()
        container, group = Container(process), Group(process, 1)
        if kind == "direct":
            with pytest.raises(OSError, match="identity mapped") as refused:
                group.set_container(container)
            assert refused.value.errno == errno.EINVAL
            return
        group.set_container(container)
        container.set_iommu()
        ranges = container.get_info().iova_ranges
        assert any(each.start <= region.start <= each.last for each in ranges) is not reserved
