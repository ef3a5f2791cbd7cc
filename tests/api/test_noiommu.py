# SPDX-License-Identifier: MIT
"""Groups without an IOMMU: only for those who may touch hardware, and nothing is mapped."""

from __future__ import annotations

import dataclasses
import errno

import pytest

from kvmiommu import System, machine, uapi
from kvmiommu.vfio import Container, Group

_v = uapi.vfio

NOIOMMU = machine.parse(
    """
    [machine]
    name = "noiommu"
    arch = "x86_64"
    page_size = "4K"
    memory = "1G"

    [options]
    "vfio.enable_unsafe_noiommu_mode" = true

    [[iommu]]
    name = "dmar0"
    driver = "intel"
    address_width = 48
    page_sizes = ["4K"]
    isolated_msi = true

    [[pci]]
    address = "0000:00:02.0"
    model = "edu"
    iommu = "dmar0"
    group = 0
    driver = "vfio-pci"
    vfio = 0

    [[pci]]
    address = "0000:00:03.0"
    model = "edu"
    driver = "vfio-pci"
    vfio = 1
    """
)


def test_a_container_of_the_other_kind() -> None:
    with System(NOIOMMU) as system:
        process = system.process()
        container, group = Container(process), Group(process, 1, noiommu=True)
        assert container.check_extension(_v.VFIO_NOIOMMU_IOMMU) == 1
        assert container.check_extension(_v.VFIO_TYPE1_IOMMU) == 1
        group.set_container(container)
        # With such a group in, only the driver that maps nothing is left.
        assert container.check_extension(_v.VFIO_NOIOMMU_IOMMU) == 1
        assert container.check_extension(_v.VFIO_TYPE1_IOMMU) == 0
        with pytest.raises(OSError, match="no driver has type 3") as refused:
            container.set_iommu(_v.VFIO_TYPE1v2_IOMMU)
        assert refused.value.errno == errno.ENODEV
        container.set_iommu(_v.VFIO_NOIOMMU_IOMMU)
        with pytest.raises(OSError, match="nothing to map") as refused:
            container.map_dma(0, process.mmap(4096, 3, 0x22), 4096)
        assert refused.value.errno == errno.ENOTTY
        with group.get_device("0000:00:03.0"):
            pass


def test_kinds_do_not_mix() -> None:
    with System(NOIOMMU) as system:
        process = system.process()
        container, real, fake = (
            Container(process),
            Group(process, 0),
            Group(process, 1, noiommu=True),
        )
        real.set_container(container)
        with pytest.raises(PermissionError, match="do not mix"):
            fake.set_container(container)
        real.unset_container()
        fake.set_container(container)
        with pytest.raises(PermissionError, match="do not mix"):
            real.set_container(container)


def test_without_the_capability() -> None:
    with System(NOIOMMU) as system:
        process = system.process()
        group, container = Group(process, 1, noiommu=True), Container(process)
        process.setresuid(1000, 1000, 1000)
        with pytest.raises(PermissionError, match="CAP_SYS_RAWIO"):
            group.set_container(container)


def test_without_the_option_there_is_no_such_group() -> None:
    options = {**NOIOMMU.options, "vfio.enable_unsafe_noiommu_mode": False}
    safe = dataclasses.replace(NOIOMMU, options=options)
    with pytest.raises(machine.MachineError, match=r"pci\[1\].driver: found 'vfio-pci'"):
        System(safe)
    first, second = safe.pci
    undriven = dataclasses.replace(second, driver="", vfio=None)
    with System(dataclasses.replace(safe, pci=(first, undriven))) as system:
        process = system.process()
        with pytest.raises(FileNotFoundError):
            Group(process, 1, noiommu=True)
        assert Container(process).check_extension(_v.VFIO_NOIOMMU_IOMMU) == 0
