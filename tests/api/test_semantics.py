# SPDX-License-Identifier: MIT
"""What a domain may span: boards to play with, and machines under each of the semantics."""

from __future__ import annotations

import errno
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from kvmiommu import System, iommu, machine, semantics
from kvmiommu.machine import MachineError
from kvmiommu.vfio import Container, Group

K4, M2, G1 = 4 << 10, 2 << 20, 1 << 30


def errno_of(call: Callable[[], None]) -> int:
    try:
        call()
    except OSError as refused:
        return refused.errno or -1
    return 0


def board_of(name: str, after: str = "refuse") -> tuple[semantics.Board, list[semantics.Device]]:
    """Two SMMUs, the second of which has small pages only, with two devices and one behind them."""
    board = semantics.Board(name, attach_after_map=after)
    board.iommu("smmu0", driver="smmu_v3", pgsize_bitmap=iommu.pages("4K", "2M", "1G"))
    board.iommu("smmu1", driver="smmu_v3", pgsize_bitmap=iommu.pages("4K"))
    devices = [board.device("disk", "smmu0"), board.device("nic", "smmu0")]
    return board, [*devices, board.device("gpu", "smmu1")]


@pytest.mark.parametrize(
    ("name", "after", "answer"),
    [
        ("domain", "refuse", errno.EINVAL),
        ("domain", "rebuild", 1),
        ("domain", "second-table", 2),
        ("instance", "rebuild", errno.EINVAL),
        ("common", "refuse", errno.EINVAL),
        ("common", "rebuild", 1),
        ("common", "second-table", 2),
        ("legacy", "rebuild", 1),
        ("tables", "refuse", 2),
        ("device", "refuse", 2),
        ("operations", "refuse", 1),
    ],
)
def test_a_device_that_lacks_pages_in_use(name: str, after: str, answer: int) -> None:
    board, (disk, _, gpu) = board_of(name, after)
    domain = board.domain(disk)
    domain.attach(disk)
    domain.map(0, G1, M2)
    if answer == errno.EINVAL:
        with pytest.raises(OSError, match=r"\[") as refused:
            domain.attach(gpu)
        assert refused.value.errno == errno.EINVAL
    else:
        domain.attach(gpu)
        assert len(domain.tables) == answer
    assert domain.iova_to_phys(M2 - 1) == G1 + M2 - 1
    assert domain.unmap(0, M2) == M2


def test_devices_behind_one_iommu_pay_for_one_table() -> None:
    board, (disk, nic, _) = board_of("tables")
    domain = board.domain(disk)
    domain.attach(disk)
    domain.map(0, G1, 64 * K4)
    before = domain.tables
    domain.attach(nic)
    assert domain.tables == before
    domain.detach(nic)
    assert domain.iova_to_phys(5) == G1 + 5


def test_maps_by_device() -> None:
    _, (disk, nic, gpu) = board_of("device")
    disk.map(0, G1, M2)
    nic.map(0, 2 * G1, K4)
    assert [each.iova_to_phys(5) for each in (disk, nic, gpu)] == [G1 + 5, 2 * G1 + 5, 0]
    with pytest.raises(OSError, match="does not lead to"):
        nic.unmap(0, G1, K4)
    with pytest.raises(OSError, match="does not lead to"):
        gpu.unmap(0, G1, K4)
    assert nic.unmap(0, 2 * G1, K4) == K4
    assert disk.unmap(0, G1, M2) == M2
    assert disk.iova_to_phys(0) == 0


def test_a_range_that_leads_elsewhere_in_part_stays_mapped() -> None:
    board = semantics.Board("device")
    board.iommu("unit", driver="intel", pgsize_bitmap=iommu.pages("4K", "2M"))
    device = board.device("device", "unit")
    device.map(0, 1 << 32, 4 << 20)
    device.map(4 << 20, 2 << 32, 4096)
    for start, size in ((0, (4 << 20) + 4096), ((4 << 20) - 4096, 8192), (0, 8 << 20)):
        with pytest.raises(OSError, match="does not lead") as refused:
            device.unmap(start, (1 << 32) + start, size)
        assert refused.value.errno == errno.EINVAL
    assert device.iova_to_phys(0) == 1 << 32
    assert device.iova_to_phys(4 << 20) == 2 << 32
    assert device.unmap(0, 1 << 32, 4 << 20) == 4 << 20
    assert device.iova_to_phys(0) == 0


def test_each_allocation_fails_in_turn() -> None:
    board = semantics.Board("tables")
    board.iommu("smmu", driver="smmu_v3", pgsize_bitmap=iommu.pages("4K", "2M"))
    board.iommu("dmar", driver="intel", pgsize_bitmap=iommu.pages("4K"))
    disk, nic = board.device("disk", "smmu"), board.device("nic", "dmar")
    domain = board.domain(disk)
    domain.attach(disk)
    domain.map(0, G1, M2)
    for step in (lambda: domain.attach(nic), lambda: domain.map(G1, G1, M2)):
        points, error = 0, errno.ENOMEM
        attached = domain.iova_to_phys(0, nic)
        while error == errno.ENOMEM:
            assert domain.iova_to_phys(0, nic) == attached
            assert domain.iova_to_phys(G1) == 0
            points += 1
            board.fail_nth(points)
            error = errno_of(step)
        assert error == 0
        assert points > 2
    board.fail_nth(0)
    domain.detach(nic)
    # The table that a split needs is one, too.
    board.fail_nth(1)
    assert domain.unmap(K4, K4) == 0
    assert domain.iova_to_phys(K4) == G1 + K4
    assert domain.unmap(K4, K4) == K4
    assert domain.iova_to_phys(K4) == 0
    assert domain.iova_to_phys(2 * K4) == G1 + 2 * K4


def test_a_domain_reaches_as_far_as_the_narrowest_iommu_in_it() -> None:
    board = semantics.Board("common")
    for name, bits in (("wide", 48), ("narrow", 39)):
        board.iommu(name, driver="intel", pgsize_bitmap=K4, bits=bits)
    disk, nic = board.device("disk", "wide"), board.device("nic", "narrow")
    domain = board.domain(disk)
    domain.attach(nic)
    domain.attach(disk)
    with pytest.raises(OSError, match="an IOMMU of the domain ends at 0x7fffffffff") as refused:
        domain.map(1 << 40, G1, K4)
    assert refused.value.errno == errno.ERANGE
    domain.detach(nic)
    domain.map(1 << 40, G1, K4)
    with pytest.raises(OSError, match="something is mapped at 0x10000000fff") as refused:
        domain.attach(nic)
    assert refused.value.errno == errno.EINVAL


def test_an_iommu_that_comes_late_takes_page_sizes_from_its_drivers_domains() -> None:
    board = semantics.Board("operations")
    board.iommu("smmu0", driver="smmu_v3", pgsize_bitmap=iommu.pages("4K", "2M"))
    disk = board.device("disk", "smmu0")
    domain, other = board.domain(disk), board.domain(disk)
    assert domain.pgsize_bitmap == iommu.pages("4K", "2M")
    domain.attach(disk)
    domain.map(0, G1, M2)
    board.iommu("dmar0", driver="intel", pgsize_bitmap=K4)
    assert domain.pgsize_bitmap == iommu.pages("4K", "2M")
    board.iommu("smmu1", driver="smmu_v3", pgsize_bitmap=K4)
    assert domain.pgsize_bitmap == other.pgsize_bitmap == K4
    nic = board.device("nic", "smmu1")
    with pytest.raises(OSError, match="in use, of which the IOMMU lacks 0x200000") as refused:
        domain.attach(nic)
    assert refused.value.errno == errno.EINVAL
    domain.attach(board.device("another disk", "smmu0"))  # its IOMMU has what is in use
    assert domain.unmap(0, M2) == M2
    domain.map(0, G1, M2)
    domain.attach(nic)


@pytest.mark.parametrize("drivers", [("intel", "smmu_v3"), ("virtio", "amd"), ("riscv", "virtio")])
def test_what_goes_from_one_table_goes_from_all(
    drivers: tuple[semantics.IommuDriver, semantics.IommuDriver],
) -> None:
    board = semantics.Board("tables")
    for driver in drivers:
        board.iommu(driver, driver=driver, pgsize_bitmap=iommu.pages("4K", "2M"))
    devices = [board.device(driver, driver) for driver in drivers]
    domain = board.domain(devices[0])
    for device in devices:
        domain.attach(device)
    domain.map(M2, G1, M2)
    domain.map(2 * M2, 2 * G1, M2)  # the neighbour
    went = domain.unmap(M2, 16 * K4)
    # An SMMU alone would split the page; Intel's, AMD's and RISC-V's lose it whole.
    assert went == M2
    for device in devices:
        reached = {domain.iova_to_phys(M2 + at * K4, device) for at in range(512)}
        assert reached == {0}
        assert domain.iova_to_phys(2 * M2, device) == 2 * G1


def test_boards_refuse_page_sizes_that_tables_have_no_level_for() -> None:
    board = semantics.Board()
    for driver, bitmap in (("intel", 0x11000), ("riscv", 0x10000), ("amd", 1 << 39), ("amd", 0)):
        with pytest.raises(ValueError, match=r"pgsize_bitmap 0x\w+: must be page sizes"):
            board.iommu("x", driver=driver, pgsize_bitmap=bitmap)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="the kernel would pick '2M'"):
        board.iommu("x", driver="smmu_v3", pgsize_bitmap=M2)


def test_strange_boards() -> None:
    with pytest.raises(ValueError, match="must be one of operations, domain"):
        semantics.Board("universal")
    with pytest.raises(ValueError, match="must be one of refuse, rebuild"):
        semantics.Board("domain", attach_after_map="perhaps")
    board, (disk, *_) = board_of("tables")
    with pytest.raises(ValueError, match="driver 'sun4u': must be one of intel"):
        board.iommu("x", driver="sun4u", pgsize_bitmap=K4)
    for bitmap in (0, -1, 3, 1 << 50):
        with pytest.raises(ValueError, match="pgsize_bitmap"):
            board.iommu("x", driver="amd", pgsize_bitmap=bitmap)
    with pytest.raises(ValueError, match="bits 65"):
        board.iommu("x", driver="amd", pgsize_bitmap=K4, bits=65)
    with pytest.raises(FileExistsError):
        board.iommu("smmu0", driver="amd", pgsize_bitmap=K4)
    with pytest.raises(FileNotFoundError):
        board.device("x", "smmu9")
    other, (foreign, *_) = board_of("tables")
    with pytest.raises(ValueError, match="another board"):
        board.domain(disk).attach(foreign)
    with pytest.raises(OSError, match="no device was attached yet"):
        other.domain(foreign).map(0, G1, K4)


def unlike(setting: str) -> machine.Machine:
    text = f"""
[machine]
name = "unlike"
arch = "x86_64"
page_size = "4K"
memory = "1G"
{setting}
[[iommu]]
name = "dmar0"
driver = "intel"
address_width = 48
page_sizes = ["4K", "2M", "1G"]
isolated_msi = true
[[iommu]]
name = "ivhd0"
driver = "amd"
address_width = 48
page_sizes = ["4K", "64K", "2M"]
isolated_msi = true
"""
    for number, name in enumerate(("dmar0", "dmar0", "ivhd0")):
        text += f"""
[[pci]]
address = "0000:00:0{number}.0"
model = "edu"
iommu = "{name}"
group = {number}
driver = "vfio-pci"
vfio = {number}
"""
    return machine.parse(text)


@pytest.mark.parametrize("name", machine.SEMANTICS)
def test_a_container_works_under_every_semantics(name: str) -> None:
    with System(unlike(f'semantics = "{name}"')) as system:
        process = system.process()
        container = Container(process)
        groups = [Group(process, number) for number in range(3)]
        buffer = process.mmap(2 * M2, 3, 0x22)
        groups[0].set_container(container)
        container.set_iommu()
        container.map_dma(M2, buffer, M2)
        for group in groups[1:]:
            group.set_container(container)
        container.map_dma(8 * M2, buffer, 2 * M2)
        # Whatever the container is made of, each device finds the same.
        for number, group in enumerate(groups):
            edu = group.get_device(f"0000:00:0{number}.0")
            edu.write(7, 4, b"\x06\x00")
            process.poke(buffer, bytes([number + 1]) * 8)
            for register, value in ((0x80, M2), (0x88, 0x40000), (0x90, 8), (0x98, 1)):
                edu.write(0, register, value.to_bytes(8, "little"))
            for register, value in ((0x80, 0x40000), (0x88, 8 * M2 + K4), (0x90, 8), (0x98, 3)):
                edu.write(0, register, value.to_bytes(8, "little"))
            assert process.peek(buffer + K4, 8) == bytes([number + 1]) * 8
            edu.close()
        assert system.dma_faults() == []
        assert container.unmap_dma(M2, M2) == M2
        for group in groups:
            group.unset_container()
    assert system.used_frames == 0


def test_machines_say_what_there_is() -> None:
    with pytest.raises(MachineError, match="'operations', 'domain', 'common'"):
        unlike('semantics = "comon"')
    with pytest.raises(MachineError, match="'refuse', 'rebuild', 'second-table'"):
        unlike('attach_after_map = "maybe"')


def test_the_page_on_semantics_runs(capsys: pytest.CaptureFixture[str]) -> None:
    page = Path(__file__).parents[2] / "docs" / "explanation" / "semantics.md"
    text = page.read_text(encoding="utf-8")
    (block,) = re.findall(r"^```python\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)
    (shown,) = re.findall(r"^```text\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)
    exec(compile(block, "semantics.md", "exec"), {})
    assert capsys.readouterr().out == shown
