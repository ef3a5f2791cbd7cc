# SPDX-License-Identifier: MIT
"""The machines with an SMMUv3 and with a RISC-V IOMMU: type 1 containers over their page tables."""

from __future__ import annotations

import errno
import struct
from collections.abc import Iterator

import pytest

from boards import group_of
from kvmiommu import System, machine, uapi
from kvmiommu.machine import MachineError
from kvmiommu.process import Process
from kvmiommu.vfio import Container, Device, Group

BOARDS = ("virt-smmuv3", "virt-riscv")
CONFIG = uapi.vfio.VFIO_PCI_CONFIG_REGION_INDEX
EDU_BUFFER = 0x40000
TO_DEVICE, TO_MEMORY = 0x1, 0x3
K4, M2 = 4 << 10, 2 << 20


class Bench:
    """A machine with its first edu open behind a container."""

    def __init__(self, system: System) -> None:
        self.system = system
        self.process: Process = system.process()
        self.container = Container(self.process)
        self.group = Group(self.process, group_of(system.machine, "0000:00:02.0"))
        self.group.set_container(self.container)
        self.container.set_iommu()
        self.edu: Device = self.group.get_device("0000:00:02.0")
        self.edu.write(CONFIG, 4, struct.pack("<H", 0x6))
        self.buffer: int = self.process.mmap(2 * M2, 3, 0x22)

    def dma(self, source: int, destination: int, count: int, command: int) -> None:
        for offset, value in ((0x80, source), (0x88, destination), (0x90, count), (0x98, command)):
            self.edu.write(0, offset, struct.pack("<Q", value))


@pytest.fixture(params=BOARDS)
def bench(request: pytest.FixtureRequest) -> Iterator[Bench]:
    with System(request.param) as system:
        yield Bench(system)
    assert system.used_frames == 0


def test_a_device_moves_data_through_the_tables(bench: Bench) -> None:
    bench.container.map_dma(0x100000, bench.buffer, 2 * M2)
    message = bytes(range(256)) * 16
    bench.process.poke(bench.buffer + 0x800, message)
    bench.dma(0x100800, EDU_BUFFER, len(message), TO_DEVICE)
    bench.dma(EDU_BUFFER, 0x100000 + M2 + 0x900, len(message), TO_MEMORY)
    assert bench.process.peek(bench.buffer + M2 + 0x900, len(message)) == message
    assert bench.system.dma_faults() == []
    assert bench.container.unmap_dma(0x100000, 2 * M2) == 2 * M2
    bench.dma(0x100000, EDU_BUFFER, 16, TO_DEVICE)
    (fault,) = bench.system.dma_faults()
    assert (fault.iova, fault.access) == (0x100000, "read")


def test_what_is_read_only_is_not_written(bench: Bench) -> None:
    bench.container.map_dma(0x100000, bench.buffer, M2, write=False)
    bench.dma(0x100000, EDU_BUFFER, 16, TO_DEVICE)
    assert bench.system.dma_faults() == []
    bench.dma(EDU_BUFFER, 0x100000, 16, TO_MEMORY)
    (fault,) = bench.system.dma_faults()
    assert (fault.iova, fault.access) == (0x100000, "write")


def test_a_container_shows_the_apertures_and_the_sizes() -> None:
    for board, sizes, ranges in (
        (
            "virt-smmuv3",
            0x40201000,
            ((0, 0x7FFFFFF), (0x8100000, 0xFFFFFFFFFFFF)),
        ),
        ("virt-riscv", 0x8040201000, ((0, 0xFFFFFFFFFFFFFF),)),
    ):
        with System(board) as system:
            bench = Bench(system)
            info = bench.container.get_info()
            assert info.iova_pgsizes == sizes
            assert tuple((start, last) for start, last in info.iova_ranges) == ranges
            last = ranges[-1][1]
            bench.container.map_dma(last - K4 + 1, bench.buffer, K4)
            for iova in {last + 1, *(first - K4 for first, _ in ranges if first)}:
                with pytest.raises(OSError, match=r"\[") as refused:
                    bench.container.map_dma(iova, bench.buffer, K4)
                assert refused.value.errno == errno.EINVAL


def two_of(driver: str, width: int, second_width: int) -> machine.Machine:
    text = f"""
[machine]
name = "two"
arch = "{"riscv64" if driver == "riscv" else "aarch64"}"
page_size = "4K"
memory = "1G"
"""
    for name, bits in (("first", width), ("second", second_width)):
        text += f"""
[[iommu]]
name = "{name}"
driver = "{driver}"
address_width = {bits}
page_sizes = ["4K", "2M", "1G"]
isolated_msi = true
"""
    for number, iommu in enumerate(("first", "first", "second")):
        text += f"""
[[pci]]
address = "0000:00:0{number}.0"
model = "edu"
iommu = "{iommu}"
group = {number}
driver = "vfio-pci"
vfio = {number}
"""
    return machine.parse(text)


@pytest.mark.parametrize(
    ("described", "tables"),
    [
        # A domain of an SMMU serves no other: the container makes a second one.
        (two_of("smmu_v3", 48, 48), 2),
        # Any RISC-V IOMMU that walks as many levels will do.
        (two_of("riscv", 48, 48), 1),
        (two_of("riscv", 48, 57), 1),
        (two_of("riscv", 57, 48), 2),
    ],
    ids=("smmu", "riscv", "riscv-more", "riscv-less"),
)
def test_devices_behind_two_iommus_share_what_they_can(
    described: machine.Machine, tables: int
) -> None:
    with System(described) as system:
        process = system.process()
        container = Container(process)
        groups = [Group(process, number) for number in range(3)]
        groups[0].set_container(container)
        container.set_iommu()
        empty = system.used_frames
        groups[1].set_container(container)
        assert system.used_frames == empty
        buffer = process.mmap(K4, 3, 0x22)
        before = system.used_frames
        container.map_dma(0, buffer, K4)
        for_one = system.used_frames - before
        groups[2].set_container(container)
        # A second table, with as much in it as the first.
        assert (system.used_frames - before > for_one) == (tables == 2)


def test_a_stage_2_of_an_smmu() -> None:
    text = machine.load("virt-smmuv3").text().replace("stage = 1", "stage = 2")
    with System(machine.parse(text.replace("address_width = 48", "address_width = 40"))) as system:
        bench = Bench(system)
        assert bench.container.get_info().iova_ranges[-1][1] == (1 << 40) - 1
        bench.container.map_dma(0x100000, bench.buffer, M2)
        bench.process.poke(bench.buffer, b"stage 2")
        bench.dma(0x100000, EDU_BUFFER, 7, TO_DEVICE)
        bench.dma(EDU_BUFFER, 0x101000, 7, TO_MEMORY)
        assert bench.process.peek(bench.buffer + K4, 7) == b"stage 2"


@pytest.mark.parametrize(
    ("old", "new", "key"),
    [
        ("stage = 1", "stage = 3", "stage"),
        ("address_width = 48", "address_width = 53", "address_width"),
        ('driver = "smmu_v3"', 'driver = "smmu_v2"', "driver"),
    ],
)
def test_descriptions_that_are_not_right(old: str, new: str, key: str) -> None:
    text = machine.load("virt-smmuv3").text()
    assert old in text
    with pytest.raises(MachineError, match=key):
        machine.parse(text.replace(old, new))


def test_no_stage_and_no_dirty_pages_for_others() -> None:
    text = machine.load("virt-riscv").text()
    with pytest.raises(MachineError, match="stage"):
        machine.parse(text.replace("stage = 1", "stage = 2"))
    with pytest.raises(MachineError, match="dirty_tracking"):
        machine.parse(text.replace("dirty_tracking = false", "dirty_tracking = true"))
    with pytest.raises(MachineError, match="39, 48, 57"):
        machine.parse(text.replace("address_width = 57", "address_width = 56"))
