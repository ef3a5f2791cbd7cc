# SPDX-License-Identifier: MIT
"""Translations that devices still have after an unmap, and what is told of their use."""

from __future__ import annotations

import struct

import pytest

from boards import group_of
from kvmiommu import IotlbFigures, System, machine, uapi
from kvmiommu.process import Process
from kvmiommu.vfio import Container, Group

CONFIG = uapi.vfio.VFIO_PCI_CONFIG_REGION_INDEX
EDU_BUFFER = 0x40000
TO_DEVICE, TO_MEMORY = 0x1, 0x3
IOVA, PAGE = 0x100000, 4096


class Bench:
    def __init__(self, system: System) -> None:
        self.system = system
        self.process: Process = system.process()
        self.container = Container(self.process)
        group = Group(self.process, group_of(system.machine, "0000:00:02.0"))
        group.set_container(self.container)
        self.container.set_iommu()
        self.edu = group.get_device("0000:00:02.0")
        self.edu.write(CONFIG, 4, struct.pack("<H", 0x6))
        self.buffer: int = self.process.mmap(4 * PAGE, 3, 0x22)
        self.container.map_dma(IOVA, self.buffer, 4 * PAGE)

    def dma(self, source: int, destination: int, count: int, command: int) -> None:
        for offset, value in ((0x80, source), (0x88, destination), (0x90, count), (0x98, command)):
            self.edu.write(0, offset, struct.pack("<Q", value))


def board(name: str, *, strict: bool) -> machine.Machine:
    text = machine.load(name).text()
    assert '"iommu.strict" = true' in text
    return machine.parse(
        text.replace('"iommu.strict" = true', f'"iommu.strict" = {str(strict).lower()}')
    )


@pytest.mark.parametrize("name", ["q35-intel", "virt-smmuv3", "virt-riscv"])
def test_a_late_device_gets_through_and_is_told_of(name: str) -> None:
    with System(board(name, strict=False)) as system:
        bench = Bench(system)
        bench.process.poke(bench.buffer, b"still here")
        bench.dma(IOVA, EDU_BUFFER, 10, TO_DEVICE)
        bench.container.unmap_dma(IOVA, 4 * PAGE)
        bench.dma(EDU_BUFFER, IOVA + 16, 10, TO_MEMORY)
        assert bench.process.peek(bench.buffer + 16, 10) == b"still here"
        (use,) = system.stale_uses()
        assert (use.device, use.iova, use.access) == ("0000:00:02.0", IOVA + 16, "write")
        assert use.unmapped == (IOVA, IOVA + 4 * PAGE - 1)
        assert f"write {IOVA + 16:#x}: unmap {use.unmap} of" in str(use)
        assert system.dma_faults() == []
        assert system.iotlb() == IotlbFigures(1, 1, 1, system.iotlb().invalidations, 1)
        system.flush_iotlb()
        assert system.iotlb().queued == 0
        bench.dma(EDU_BUFFER, IOVA + 16, 10, TO_MEMORY)
        assert len(system.stale_uses()) == 1
        assert len(system.dma_faults()) == 1


def test_strict_is_the_default() -> None:
    with System("q35-intel") as system:
        bench = Bench(system)
        bench.dma(IOVA, EDU_BUFFER, 10, TO_DEVICE)
        bench.container.unmap_dma(IOVA, 4 * PAGE)
        bench.dma(IOVA, EDU_BUFFER, 10, TO_DEVICE)
        assert system.stale_uses() == []
        assert len(system.dma_faults()) == 1


def test_memory_that_was_given_back_stays_zeroed() -> None:
    """The late device's write goes to memory that nobody has: nobody finds it there later."""
    with System(board("q35-intel", strict=False)) as system:
        bench = Bench(system)
        bench.process.poke(bench.buffer, b"\xff" * 16)
        bench.dma(IOVA, EDU_BUFFER, 16, TO_DEVICE)
        bench.container.unmap_dma(IOVA, 4 * PAGE)
        bench.process.munmap(bench.buffer, 4 * PAGE)
        bench.dma(EDU_BUFFER, IOVA, 16, TO_MEMORY)
        assert len(system.stale_uses()) == 1
        for _ in range(8):
            again = bench.process.mmap(64 * PAGE, 3, 0x22)
            assert bench.process.peek(again, 64 * PAGE) == bytes(64 * PAGE)
