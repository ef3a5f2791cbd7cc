# SPDX-License-Identifier: MIT
"""One container in front of two kinds of IOMMU, which no machine one can buy has.

Each kind gets a page table of its own, with the same mappings in it; what the container shows is
what both can do. How tables fill can be seen from outside by the frames that are in use.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator

import pytest

from kvmiommu import System, machine, uapi
from kvmiommu.process import Process
from kvmiommu.vfio import Container, Group

INTEL, SECOND_INTEL, AMD = 1, 2, 3
K4, M2, G1 = 4 << 10, 2 << 20, 1 << 30
INTEL_SIZES = K4 | M2 | G1
AMD_SIZES = sum(1 << bit for bit in range(12, 52) if bit != 39)
ABOVE_INTEL = 1 << 50
HYPERTRANSPORT, INTERRUPTS = 0xFD00000000, 0xFEE00000
BUFFER = 4 * M2

FUNCTION = """
[[pci]]
address = "0000:00:0{group}.0"
model = "edu"
iommu = "{iommu}"
group = {group}
driver = "vfio-pci"
vfio = {group}
"""
TEXT = f"""
[machine]
name = "unlike"
arch = "x86_64"
page_size = "4K"
memory = "1G"
[[iommu]]
name = "dmar0"
driver = "intel"
address_width = 48
page_sizes = ["4K", "2M", "1G"]
isolated_msi = true
reserved = [{{ start = 0xfee00000, last = 0xfeefffff, type = "msi" }}]
[[iommu]]
name = "ivhd0"
driver = "amd"
address_width = 64
page_sizes = {[1 << bit for bit in range(12, 52) if bit != 39]}
isolated_msi = true
reserved = [{{ start = 0xfd00000000, last = 0xffffffffff, type = "reserved" }}]
""" + "".join(
    FUNCTION.format(group=group, iommu=iommu)
    for group, iommu in ((INTEL, "dmar0"), (SECOND_INTEL, "dmar0"), (AMD, "ivhd0"))
)


class Bench:
    """A machine with all of its groups open, a container, and memory to map."""

    def __init__(self, system: System) -> None:
        self.system = system
        self.process: Process = system.process()
        self.container = Container(self.process)
        self.groups = {number: Group(self.process, number) for number in (1, 2, 3)}
        self.buffer: int = self.process.mmap(BUFFER, 3, 0x22)
        self.process.poke(self.buffer, bytes(BUFFER))

    def start(self, *groups: int) -> None:
        for group in groups:
            self.groups[group].set_container(self.container)
        self.container.set_iommu()

    def join(self, group: int) -> None:
        self.groups[group].set_container(self.container)

    def leave(self, group: int) -> None:
        self.groups[group].unset_container()

    def refused_join(self, group: int) -> OSError:
        with pytest.raises(OSError, match=r"\[drivers/") as refused:
            self.join(group)
        return refused.value

    def errno_of_join(self, group: int) -> int:
        try:
            self.join(group)
        except OSError as refused:
            return refused.errno or 0
        return 0

    def state(self) -> tuple[object, ...]:
        """Everything that a refused call must leave as it was."""
        return (
            self.container.get_info(),
            self.system.used_frames,
            self.system.pinned_frames,
            self.process.status("VmLck"),
            [group.get_status() for group in self.groups.values()],
        )


@pytest.fixture
def bench() -> Iterator[Bench]:
    with System(machine.parse(TEXT)) as system:
        yield Bench(system)
    assert system.used_frames == 0


@pytest.mark.parametrize("order", [(INTEL, AMD), (AMD, INTEL)])
def test_a_container_shows_what_both_kinds_can_do(bench: Bench, order: tuple[int, int]) -> None:
    bench.start(order[0])
    bench.join(order[1])
    info = bench.container.get_info()
    assert info.iova_pgsizes == INTEL_SIZES & AMD_SIZES
    assert info.iova_ranges == (
        (0, INTERRUPTS - 1),
        (INTERRUPTS + (1 << 20), HYPERTRANSPORT - 1),
        (1 << 40, (1 << 48) - 1),
    )


def test_both_kinds_at_once_are_as_one_after_the_other(bench: Bench) -> None:
    bench.start(INTEL, AMD, SECOND_INTEL)
    assert bench.container.get_info().iova_pgsizes == INTEL_SIZES & AMD_SIZES


def test_coherency_is_that_of_the_weaker(bench: Bench) -> None:
    # AMD's leaves always force it, this Intel unit cannot.
    bench.start(AMD)
    assert bench.container.check_extension(uapi.vfio.VFIO_DMA_CC_IOMMU) == 1
    bench.join(INTEL)
    assert bench.container.check_extension(uapi.vfio.VFIO_DMA_CC_IOMMU) == 0
    bench.leave(INTEL)
    assert bench.container.check_extension(uapi.vfio.VFIO_DMA_CC_IOMMU) == 1


def test_a_mapping_fills_tables_of_both_kinds(bench: Bench) -> None:
    bench.start(INTEL, AMD)
    before = bench.system.used_frames
    bench.container.map_dma(K4, bench.buffer, K4)
    # Below the root three tables for Intel's four levels, two for the three that AMD begins with.
    assert bench.system.used_frames - before == 3 + 2
    before = bench.system.used_frames
    bench.container.map_dma(1 << 47, bench.buffer, K4)
    # AMD's tree becomes as high as Intel's: a root, and then the same three tables again.
    assert bench.system.used_frames - before == 3 + 1 + 3


@pytest.mark.parametrize(("first", "second", "tables"), [(INTEL, AMD, 3), (AMD, INTEL, 4)])
def test_joining_later_maps_what_is_mapped(
    bench: Bench, first: int, second: int, tables: int
) -> None:
    bench.start(first)
    bench.container.map_dma(M2, bench.buffer, BUFFER - M2)
    bench.container.map_dma(0, bench.buffer + K4, K4)
    locked, pinned = bench.process.status("VmLck"), bench.system.pinned_frames
    before = bench.system.used_frames
    bench.join(second)
    assert bench.system.used_frames - before == tables
    # What is mapped twice is pinned and charged once.
    assert (bench.process.status("VmLck"), bench.system.pinned_frames) == (locked, pinned)
    assert bench.container.unmap_all() == BUFFER - M2 + K4
    assert bench.process.status("VmLck") == 0


def test_the_last_group_of_a_kind_takes_its_tables_along(bench: Bench) -> None:
    bench.start(AMD)
    bench.container.map_dma(M2, bench.buffer, BUFFER)
    alone = bench.state()
    bench.join(INTEL)
    frames = bench.system.used_frames
    bench.join(SECOND_INTEL)
    assert bench.system.used_frames == frames
    bench.leave(INTEL)
    assert bench.container.get_info().iova_pgsizes == INTEL_SIZES
    bench.leave(SECOND_INTEL)
    assert bench.state() == alone
    with pytest.raises(FileExistsError):
        bench.container.map_dma(M2, bench.buffer, K4)


@pytest.mark.parametrize("order", [(INTEL, AMD), (AMD, INTEL)])
def test_the_last_group_of_all_takes_the_mappings_along(
    bench: Bench, order: tuple[int, int]
) -> None:
    bench.start(INTEL, AMD)
    bench.container.map_dma(M2, bench.buffer, BUFFER)
    for group in order:
        assert bench.process.status("VmLck") == BUFFER // 1024
        bench.leave(group)
    assert bench.process.status("VmLck") == 0
    bench.start(INTEL)
    assert bench.container.unmap_all() == 0


@pytest.mark.parametrize(
    ("there", "joins", "iova", "reason"),
    [
        (AMD, INTEL, ABOVE_INTEL, "outside of the aperture"),
        (AMD, INTEL, INTERRUPTS, "reserved region 0xfee00000"),
        (INTEL, AMD, HYPERTRANSPORT, "reserved region 0xfd00000000"),
    ],
)
def test_a_mapping_that_cannot_be_in_both_keeps_a_group_out(
    bench: Bench, there: int, joins: int, iova: int, reason: str
) -> None:
    bench.start(there)
    bench.container.map_dma(iova, bench.buffer, K4)
    before = bench.state()
    refused = bench.refused_join(joins)
    assert refused.errno == errno.EINVAL
    assert reason in str(refused)
    assert bench.state() == before
    assert bench.container.unmap_all() == K4
    bench.join(joins)
    with pytest.raises(OSError, match="reserved or beyond the aperture"):
        bench.container.map_dma(iova, bench.buffer, K4)


def test_addresses_that_are_being_changed_keep_a_group_out(bench: Bench) -> None:
    bench.start(INTEL)
    bench.container.map_dma(0, bench.buffer, K4)
    assert bench.container.invalidate_vaddr(0, K4) == K4
    before = bench.state()
    assert bench.refused_join(AMD).errno == errno.EBUSY
    assert bench.state() == before


def test_memory_that_cannot_be_had_keeps_a_group_out(bench: Bench) -> None:
    bench.start(INTEL)
    bench.container.map_dma(0, bench.buffer, K4)
    before, points = bench.state(), 0
    bench.process.fail_nth = 1
    while bench.errno_of_join(AMD) == errno.ENOMEM:
        assert bench.state() == before
        points += 1
        bench.process.fail_nth = points + 1
    bench.process.fail_nth = 0
    assert bench.container.get_info().iova_pgsizes == INTEL_SIZES & AMD_SIZES
    assert points == 3  # the root and two tables


def test_page_sizes_with_nothing_in_common() -> None:
    """A second unit of the same kind that has only large pages: there is no size to map with."""
    text = TEXT.replace('page_sizes = ["4K", "2M", "1G"]', 'page_sizes = ["4K"]').replace(
        f"page_sizes = {[1 << bit for bit in range(12, 52) if bit != 39]}", 'page_sizes = ["2M"]'
    )
    with System(machine.parse(text)) as system:
        process = system.process()
        container, small, large = Container(process), Group(process, INTEL), Group(process, AMD)
        small.set_container(container)
        container.set_iommu()
        buffer = process.mmap(M2, 3, 0x22)
        container.map_dma(0, buffer, K4)
        with pytest.raises(OSError, match="have none in common") as refused:
            large.set_container(container)
        assert refused.value.errno == errno.EINVAL
        assert large.get_status() == uapi.vfio.VFIO_GROUP_FLAGS_VIABLE
        assert container.get_info().iova_pgsizes == K4
        assert container.unmap_all() == K4
