# SPDX-License-Identifier: MIT
"""Every granule, stage and mode of the Arm and RISC-V boards, with a second IOMMU of the same kind.

No transcript was recorded on them. The rules are those of drivers/iommu/arm/arm-smmu-v3/
arm-smmu-v3.c and drivers/iommu/io-pgtable-arm.c of Linux 6.12, of drivers/iommu/riscv/iommu.c as it
came with 6.13, and of drivers/vfio/vfio_iommu_type1.c.
"""

from __future__ import annotations

import dataclasses
import errno
import itertools
import struct
from collections.abc import Iterator
from typing import ClassVar, NamedTuple

import pytest

from boards import arm_board
from kvmiommu import DmaFault, System, machine, pci, uapi
from kvmiommu.machine import Machine
from kvmiommu.process import Process
from kvmiommu.vfio import Container, Device, Group

K4, K16, K64, M2, M32, M512, G1, G512 = (
    4 << 10, 16 << 10, 64 << 10, 2 << 20, 32 << 20, 512 << 20, 1 << 30, 512 << 30,
)  # fmt: skip
DOORBELLS = (0x8000000, 0x80FFFFF)
EDU, FAR_EDU = "0000:00:02.0", "0000:01:00.0"  # behind the first IOMMU, behind the second
NEAR, TESTDEV, FAR = 1, 2, 4  # the groups
IOVA, SIZE, BUFFER = 0x100000, 0x4000, 0x40000  # edu's bus addresses have 28 bits
TO_DEVICE, TO_MEMORY = 1, 3
CONFIG = uapi.vfio.VFIO_PCI_CONFIG_REGION_INDEX


def with_two(base: Machine, *units: machine.Iommu) -> Machine:
    """The board with these IOMMUs, the second before a device, checked as a file is."""
    functions = tuple(
        dataclasses.replace(each, iommu=units[each.address == FAR_EDU].name) for each in base.pci
    )
    return machine.parse(dataclasses.replace(base, iommus=units, pci=functions).text())


def smmu(
    page_size: int = K4, stage: int = 1, width: int = 48, sizes: tuple[int, ...] | None = None
) -> Machine:
    base = dataclasses.replace(arm_board(), page_size=page_size)
    (unit,) = base.iommus
    unit = dataclasses.replace(
        unit, stage=stage, address_width=width, page_sizes=sizes or unit.page_sizes
    )
    return with_two(base, unit, dataclasses.replace(unit, name="smmu1"))


def riscv(near: int = 57, far: int = 57) -> Machine:
    base = machine.load("virt-riscv")
    (unit,) = base.iommus
    return with_two(
        base,
        *(
            dataclasses.replace(
                unit,
                name=f"riscv-iommu{at}",
                address_width=width,
                page_sizes=(K4, M2, G1) if width == 39 else (K4, M2, G1, G512),
            )
            for at, width in enumerate((near, far))
        ),
    )


MACHINES = {
    "smmu": smmu(),
    "smmu-stage-2": smmu(stage=2, width=44),
    "smmu-stage-2-concatenated": smmu(stage=2, width=40),
    "smmu-16K": smmu(K16),
    "smmu-64K": smmu(K64),
    "smmu-64K-52-bits": smmu(K64, width=52),
    "smmu-64K-stage-2": smmu(K64, stage=2, width=44),
    "riscv-sv39": riscv(39, 39),
    "riscv-sv48": riscv(48, 48),
    "riscv-sv57": riscv(),
}


class Edu:
    """The device's DMA engine."""

    def __init__(self, device: Device) -> None:
        self.device = device
        device.write(CONFIG, 4, struct.pack("<H", 0x6))  # memory, bus master

    def dma(self, source: int, destination: int, count: int, command: int) -> None:
        for offset, value in ((0x80, source), (0x88, destination), (0x90, count), (0x98, command)):
            self.device.write(0, offset, struct.pack("<Q", value))


class Bench(NamedTuple):
    """A process on a running machine, and a container with no group yet."""

    system: System
    process: Process
    container: Container
    buffer: int

    def start(self, *numbers: int) -> list[Group]:
        groups = [Group(self.process, number) for number in numbers]
        groups[0].set_container(self.container)
        self.container.set_iommu()
        for group in groups[1:]:
            group.set_container(self.container)
        return groups


def bench_on(system: System) -> Bench:
    process = system.process()
    return Bench(system, process, Container(process), process.mmap(64 * K64, 3, 0x22))


@pytest.fixture(params=list(MACHINES))
def bench(request: pytest.FixtureRequest) -> Iterator[Bench]:
    with System(MACHINES[request.param]) as system:
        yield bench_on(system)
    assert system.used_frames == 0
    assert system.pinned_frames == 0


# -- every board -----------------------------------------------------------------------------------


def test_edu_reads_and_writes_through_the_tables(bench: Bench) -> None:
    page = bench.process.page_size
    (group,) = bench.start(NEAR)
    edu = Edu(group.get_device(EDU))
    iova = 16 * page
    bench.container.map_dma(iova, bench.buffer, 4 * page)
    message = bytes(range(256)) * 8
    bench.process.poke(bench.buffer + page - 0x400, message)  # over the border of a page
    edu.dma(iova + page - 0x400, BUFFER, len(message), TO_DEVICE)
    edu.dma(BUFFER, iova + 3 * page, len(message), TO_MEMORY)
    assert bench.process.peek(bench.buffer + 3 * page, len(message)) == message
    assert bench.system.dma_faults() == []


def test_beyond_what_is_mapped_is_a_fault(bench: Bench) -> None:
    page = bench.process.page_size
    (group,) = bench.start(NEAR)
    edu = Edu(group.get_device(EDU))
    iova = 16 * page
    bench.container.map_dma(iova, bench.buffer, page)
    edu.dma(iova + page - 4, BUFFER, 8, TO_DEVICE)
    edu.dma(BUFFER, iova - 4, 4, TO_MEMORY)
    bench.container.unmap_all()
    edu.dma(iova, BUFFER, 4, TO_DEVICE)
    assert bench.system.dma_faults() == [
        DmaFault(0, EDU, iova + page, "read", "not mapped"),
        DmaFault(1, EDU, iova - 4, "write", "not mapped"),
        DmaFault(2, EDU, iova, "read", "not mapped"),
    ]


def test_a_page_that_is_only_read_is_not_written(bench: Bench) -> None:
    page = bench.process.page_size
    (group,) = bench.start(NEAR)
    edu = Edu(group.get_device(EDU))
    bench.container.map_dma(16 * page, bench.buffer, page, write=False)
    edu.dma(16 * page, BUFFER, 4, TO_DEVICE)
    edu.dma(BUFFER, 16 * page, 4, TO_MEMORY)
    assert bench.system.dma_faults() == [DmaFault(0, EDU, 16 * page, "write", "not permitted")]


def test_the_last_iova_of_each_range_can_be_mapped_and_the_next_cannot(bench: Bench) -> None:
    page = bench.process.page_size
    bench.start(NEAR)
    ranges = bench.container.get_info().iova_ranges
    for first, last in ranges:
        bench.container.map_dma(first, bench.buffer, page)
        bench.container.map_dma(last + 1 - page, bench.buffer, page)
        with pytest.raises(OSError, match="reserved or beyond the aperture") as refused:
            bench.container.map_dma(last + 1, bench.buffer, page)
        assert refused.value.errno == errno.EINVAL
    assert bench.container.unmap_all() == 2 * len(ranges) * page


def test_nothing_makes_dma_coherent(bench: Bench) -> None:
    bench.start(NEAR, FAR)
    assert bench.container.check_extension(uapi.vfio.VFIO_DMA_CC_IOMMU) == 0


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_closed_in_any_order_nothing_is_left(bench: Bench, order: tuple[int, ...]) -> None:
    Group(bench.process, TESTDEV).get_status()  # the process has a page for blocks from now on
    frames = bench.system.used_frames
    near, far = bench.start(NEAR, FAR)
    bench.container.map_dma(0, bench.buffer, 64 * K64)
    closes = [near.close, far.close, bench.container.close]
    for at in order:
        closes[at]()
    assert bench.system.pinned_frames == 0
    assert bench.process.status("VmLck") == 0
    assert bench.system.used_frames == frames


def test_a_map_for_which_there_is_no_memory_maps_nothing(bench: Bench) -> None:
    page = bench.process.page_size
    bench.start(NEAR)
    pinned, nth = bench.system.pinned_frames, 0
    answer = -1
    while answer:
        nth += 1
        bench.process.fail_nth = nth
        try:
            bench.container.map_dma(0, bench.buffer, page)
            answer = 0
        except OSError as refused:
            answer = refused.errno or 0
            assert answer == errno.ENOMEM
            assert bench.container.unmap_all() == 0
            assert bench.system.pinned_frames == pinned
    bench.process.fail_nth = 0
    assert nth > 1


# -- SMMUv3 ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("page_size", "stage", "width", "sizes", "last"),
    [
        (K4, 1, 48, K4 | M2 | G1, (1 << 48) - 1),
        (K16, 1, 48, K16 | M32, (1 << 48) - 1),
        (K64, 1, 48, K64 | M512, (1 << 48) - 1),
        (K64, 1, 52, K64 | M512, (1 << 52) - 1),
        (K4, 1, 52, K4 | M2 | G1, (1 << 48) - 1),
        (K4, 2, 44, K4 | M2 | G1, (1 << 44) - 1),
        (K64, 2, 40, K64 | M512, (1 << 40) - 1),
    ],
)
def test_a_container_shows_the_pages_of_one_granule(
    page_size: int, stage: int, width: int, sizes: int, last: int
) -> None:
    with System(smmu(page_size, stage, width)) as system:
        bench = bench_on(system)
        bench.start(NEAR)
        info = bench.container.get_info()
        assert info.iova_pgsizes == sizes
        # Interrupt doorbells are mapped where nothing else may be.
        assert info.iova_ranges == ((0, DOORBELLS[0] - 1), (DOORBELLS[1] + 1, last))


def test_smaller_pages_than_the_machines_serve_it() -> None:
    # VFIO shows the machine's pages where the tables have smaller ones.
    with System(smmu(K64, sizes=(K4, M2, G1))) as system:
        bench = bench_on(system)
        (group,) = bench.start(NEAR)
        assert bench.container.get_info().iova_pgsizes == K64 | M2 | G1
        bench.container.map_dma(IOVA, bench.buffer, K64)
        bench.process.poke(bench.buffer + 0x8000, b"small")
        edu = Edu(group.get_device(EDU))
        edu.dma(IOVA + 0x8000, BUFFER, 5, TO_DEVICE)
        edu.dma(BUFFER, IOVA, 5, TO_MEMORY)
        assert bench.process.peek(bench.buffer, 5) == b"small"


@pytest.mark.parametrize("iova", [DOORBELLS[0], DOORBELLS[1] + 1 - K4])
def test_the_doorbells_cannot_be_mapped_over(iova: int) -> None:
    with System(arm_board()) as system:
        bench = bench_on(system)
        bench.start(NEAR)
        with pytest.raises(OSError, match="reserved or beyond the aperture") as refused:
            bench.container.map_dma(iova, bench.buffer, K4)
        assert refused.value.errno == errno.EINVAL


def test_behind_another_smmu_a_second_domain_has_the_same_mappings() -> None:
    with System(smmu()) as system:
        bench = bench_on(system)
        (near,) = bench.start(NEAR)
        bench.container.map_dma(IOVA, bench.buffer, SIZE)
        locked, pinned = bench.process.status("VmLck"), system.pinned_frames
        frames = system.used_frames
        # The same SMMU: the same table. Another one: a root, three levels below.
        Group(bench.process, TESTDEV).set_container(bench.container)
        assert system.used_frames == frames
        far = Group(bench.process, FAR)
        far.set_container(bench.container)
        assert system.used_frames == frames + 4
        # What is mapped twice is pinned and charged once.
        assert (bench.process.status("VmLck"), system.pinned_frames) == (locked, pinned)
        bench.process.poke(bench.buffer, b"both")
        one, other = Edu(near.get_device(EDU)), Edu(far.get_device(FAR_EDU))
        one.dma(IOVA, BUFFER, 4, TO_DEVICE)
        one.dma(BUFFER, IOVA + 0x1000, 4, TO_MEMORY)
        other.dma(IOVA + 0x1000, BUFFER, 4, TO_DEVICE)
        other.dma(BUFFER, IOVA + 0x2000, 4, TO_MEMORY)
        assert bench.process.peek(bench.buffer + 0x2000, 4) == b"both"
        bench.container.unmap_all()
        one.dma(IOVA, BUFFER, 4, TO_DEVICE)
        other.dma(IOVA, BUFFER, 4, TO_DEVICE)
        assert [(fault.device, fault.cause) for fault in system.dma_faults()] == [
            (EDU, "not mapped"),
            (FAR_EDU, "not mapped"),
        ]
        other.device.close()
        far.unset_container()
        assert system.used_frames == frames


def test_without_isolated_interrupts_a_group_needs_leave() -> None:
    base = arm_board()
    units = tuple(dataclasses.replace(unit, isolated_msi=False) for unit in base.iommus)
    with System(dataclasses.replace(base, iommus=units)) as system:
        bench = bench_on(system)
        with pytest.raises(OSError, match="other devices' interrupts") as refused:
            bench.start(NEAR)
        assert refused.value.errno == errno.EPERM


# -- RISC-V ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mode", "sizes"), [(39, K4 | M2 | G1), (48, K4 | M2 | G1 | G512), (57, K4 | M2 | G1 | G512)]
)
def test_half_of_a_mode_can_be_mapped(mode: int, sizes: int) -> None:
    with System(riscv(mode, mode)) as system:
        bench = bench_on(system)
        bench.start(NEAR)
        info = bench.container.get_info()
        assert info.iova_pgsizes == sizes
        assert info.iova_ranges == ((0, (1 << (mode - 1)) - 1),)


@pytest.mark.parametrize(
    ("near", "far", "tables"),
    [
        (57, 57, 0),  # one table for both
        (39, 57, 0),  # the wider one can walk it
        (57, 39, 3),  # the narrower one cannot: a root, two levels below
    ],
)
def test_two_iommus_share_a_table_that_both_can_walk(near: int, far: int, tables: int) -> None:
    with System(riscv(near, far)) as system:
        bench = bench_on(system)
        bench.start(NEAR)
        bench.container.map_dma(IOVA, bench.buffer, SIZE)
        frames = system.used_frames
        group = Group(bench.process, FAR)
        group.set_container(bench.container)
        assert system.used_frames == frames + tables
        edu = Edu(group.get_device(FAR_EDU))
        bench.process.poke(bench.buffer, b"far")
        edu.dma(IOVA, BUFFER, 3, TO_DEVICE)
        edu.dma(BUFFER, IOVA + 0x1000, 3, TO_MEMORY)
        assert bench.process.peek(bench.buffer + 0x1000, 3) == b"far"
        narrower = min(near, far)
        assert bench.container.get_info().iova_ranges == ((0, (1 << (narrower - 1)) - 1),)


def test_riscv_needs_leave_for_interrupts_that_nothing_isolates() -> None:
    base = machine.load("virt-riscv")
    options = dict(base.options) | {"vfio_iommu_type1.allow_unsafe_interrupts": False}
    with System(dataclasses.replace(base, options=options)) as system:
        bench = bench_on(system)
        with pytest.raises(OSError, match="other devices' interrupts") as refused:
            bench.start(NEAR)
        assert refused.value.errno == errno.EPERM


# -- the boards themselves -------------------------------------------------------------------------


class Prober(pci.DeviceModel):
    """A device that the test does DMA with."""

    bars: ClassVar = {0: pci.Bar(0x1000)}


@pytest.mark.parametrize(("name", "start"), [("virt-smmuv3", 1 << 30), ("virt-riscv", 2 << 30)])
def test_ram_begins_where_the_board_has_it(name: str, start: int) -> None:
    # A device without an IOMMU puts out physical addresses: only those of RAM lead anywhere.
    base = machine.load(name)
    functions = tuple(
        dataclasses.replace(each, iommu=None, group=None) if each.address == EDU else each
        for each in base.pci
    )
    options = dict(base.options) | {"vfio.enable_unsafe_noiommu_mode": True}
    bare = dataclasses.replace(base, pci=functions, options=options)
    with System(bare, models={EDU: Prober}) as system:
        process = system.process()
        # The first number that no other group has.
        group = Group(process, min({*range(16)} - set(bare.groups())), noiommu=True)
        container = Container(process)
        group.set_container(container)
        container.set_iommu(uapi.vfio.VFIO_NOIOMMU_IOMMU)
        with group.get_device(EDU) as device:
            device.write(CONFIG, 4, struct.pack("<H", 0x6))
            model = system.models[EDU]
            for inside in (start, start + bare.memory - 8):
                assert len(model.dma_read(inside, 8)) == 8
            for outside in (start - 8, start + bare.memory):
                with pytest.raises(OSError, match="no memory at that address"):
                    model.dma_read(outside, 8)
