# SPDX-License-Identifier: MIT
"""A device without an IOMMU: its driver pins pages, and gives them up when they are unmapped."""

from __future__ import annotations

import errno
import struct
import threading
from collections.abc import Iterator

import pytest

from kvmiommu import System, machine, uapi
from kvmiommu.process import Process
from kvmiommu.vfio import Container, Device, Group

NAME = "83b8f4f2-509f-382f-3c1e-e6bfe0fa1001"
MACHINE = machine.parse(
    machine.load("q35-intel").text()
    + f"""
    [[emulated]]
    name = "{NAME}"
    group = 40
    """
)

READ, WRITE, BOTH = 1, 2, 3
PIN, UNPIN, READ_MEMORY, WRITE_MEMORY, LOAD, STORE = range(1, 7)
PAGE = 4096
IOVA = 0x100000


class Probe:
    """The registers of csrc/vfio/mdev/probe_device.h."""

    def __init__(self, device: Device) -> None:
        self.device = device

    def load(self, offset: int) -> int:
        return int(struct.unpack("<I", self.device.read(0, offset, 4))[0])

    def run(self, command: int, iova: int, length: int, access: int = READ) -> int:
        """The errno of a command, 0 when it was done."""
        self.device.write(0, 0x08, struct.pack("<Q", iova))
        self.device.write(0, 0x10, struct.pack("<I", length))
        self.device.write(0, 0x14, struct.pack("<I", access))
        self.device.write(0, 0x18, struct.pack("<I", command))
        return self.load(0x04)

    @property
    def pinned(self) -> int:
        return self.load(0x1C)

    @property
    def unmaps(self) -> int:
        return self.load(0x20)

    @property
    def buffer(self) -> bytes:
        return self.device.read(0, 0x800, 16)

    @buffer.setter
    def buffer(self, data: bytes) -> None:
        self.device.write(0, 0x800, data)


@pytest.fixture
def kvmiommu_system() -> Iterator[System]:
    with System(MACHINE) as running:
        yield running


@pytest.fixture
def group(kvmiommu_process: Process) -> Group:
    return Group(kvmiommu_process, 40)


@pytest.fixture
def container(kvmiommu_process: Process, group: Group) -> Container:
    opened = Container(kvmiommu_process)
    group.set_container(opened)
    opened.set_iommu()
    return opened


@pytest.fixture
def probe(container: Container, group: Group) -> Probe:
    return Probe(group.get_device(NAME))


@pytest.fixture
def buffer(kvmiommu_process: Process) -> int:
    return kvmiommu_process.mmap(8 * PAGE, 3, 0x22)


def test_what_it_is(probe: Probe) -> None:
    assert probe.load(0) == 0x0001D3AB
    info = probe.device.get_info()
    assert (info.num_regions, info.num_irqs) == (1, 0)
    assert probe.device.get_region_info(0).size == PAGE
    with pytest.raises(OSError, match="no region 1"):
        probe.device.get_region_info(1)
    with pytest.raises(OSError, match="no interrupt 0"):
        probe.device.get_irq_info(0)
    with pytest.raises(OSError, match="no register") as refused:
        probe.device.read(0, 2, 4)
    assert refused.value.errno == errno.EINVAL


def test_mapping_is_lazy(container: Container, kvmiommu_process: Process, buffer: int) -> None:
    # Nothing is pinned or charged before a driver asks, and nothing says that there is memory.
    assert container.get_info().iova_ranges == ()
    container.map_dma(IOVA, buffer, 8 * PAGE)
    container.map_dma(0xFFFF_FFFF_0000_0000, 0x1000, PAGE)
    assert kvmiommu_process.status("VmLck") == 0
    assert container.unmap_all() == 9 * PAGE


def test_pin_and_unpin(
    kvmiommu_system: System,
    probe: Probe,
    container: Container,
    kvmiommu_process: Process,
    buffer: int,
) -> None:
    container.map_dma(IOVA, buffer, 8 * PAGE)
    assert probe.run(PIN, IOVA + PAGE, 2 * PAGE, BOTH) == 0
    assert (probe.pinned, kvmiommu_system.total_pins, kvmiommu_process.status("VmLck")) == (2, 2, 8)
    # The device goes by physical addresses: what the process unmaps is still there for it.
    kvmiommu_process.poke(buffer + PAGE, b"0123456789abcdef")
    kvmiommu_process.munmap(buffer, 8 * PAGE)
    assert probe.run(LOAD, IOVA + PAGE, 16) == 0
    assert probe.buffer == b"0123456789abcdef"
    assert probe.run(UNPIN, IOVA, 8 * PAGE) == 0
    assert (probe.pinned, kvmiommu_system.total_pins, kvmiommu_process.status("VmLck")) == (0, 0, 0)
    assert probe.run(LOAD, IOVA + PAGE, 16) == errno.EFAULT


def test_pinned_pages_are_loaded_and_stored_over_their_borders(
    probe: Probe, container: Container, kvmiommu_process: Process, buffer: int
) -> None:
    # The two pages lie apart in the process, so that running on in the first would be seen.
    container.map_dma(IOVA, buffer, PAGE)
    container.map_dma(IOVA + PAGE, buffer + 4 * PAGE, PAGE)
    assert probe.run(PIN, IOVA, 2 * PAGE, BOTH) == 0
    kvmiommu_process.poke(buffer + PAGE - 6, b"before")
    kvmiommu_process.poke(buffer + 4 * PAGE, b"behind the")
    assert probe.run(LOAD, IOVA + PAGE - 6, 16) == 0
    assert probe.buffer == b"beforebehind the"
    probe.buffer = b"0123456789abcdef"
    assert probe.run(STORE, IOVA + PAGE - 6, 16) == 0
    assert kvmiommu_process.peek(buffer + PAGE - 6, 6) == b"012345"
    assert kvmiommu_process.peek(buffer + 4 * PAGE, 10) == b"6789abcdef"
    assert kvmiommu_process.peek(buffer + PAGE, 10) == bytes(10)
    # One page alone is pinned: what lies before its end has been moved.
    assert probe.run(UNPIN, IOVA + PAGE, PAGE) == 0
    probe.buffer = b"ABCDEFGHIJKLMNOP"
    assert probe.run(STORE, IOVA + PAGE - 6, 16) == errno.EFAULT
    assert kvmiommu_process.peek(buffer + PAGE - 6, 6) == b"ABCDEF"
    assert kvmiommu_process.peek(buffer + 4 * PAGE, 10) == b"6789abcdef"


def test_pins_that_are_refused(
    kvmiommu_system: System,
    probe: Probe,
    container: Container,
    kvmiommu_process: Process,
    buffer: int,
) -> None:
    assert probe.run(PIN, IOVA, PAGE) == errno.EINVAL  # not mapped
    container.map_dma(IOVA, buffer, 2 * PAGE, write=False)
    assert probe.run(PIN, IOVA, PAGE, WRITE) == errno.EPERM
    assert probe.run(PIN, IOVA, 3 * PAGE, READ) == errno.EINVAL  # the third is not mapped
    container.map_dma(IOVA + 2 * PAGE, 0x1000, PAGE)
    assert probe.run(PIN, IOVA, 3 * PAGE, READ) == errno.EFAULT
    assert (probe.pinned, kvmiommu_system.total_pins, kvmiommu_process.status("VmLck")) == (0, 0, 0)


def test_the_limit_counts_what_drivers_pin(
    probe: Probe, container: Container, kvmiommu_process: Process, buffer: int
) -> None:
    kvmiommu_process.setrlimit(8, PAGE, PAGE)
    kvmiommu_process.setresuid(1000, 1000, 1000)
    container.map_dma(IOVA, buffer, 8 * PAGE)
    assert probe.run(PIN, IOVA, 2 * PAGE) == errno.ENOMEM
    assert probe.run(PIN, IOVA, PAGE) == 0
    assert kvmiommu_process.status("VmLck") == 4


def test_an_unmap_is_told(
    kvmiommu_system: System,
    probe: Probe,
    container: Container,
    kvmiommu_process: Process,
    buffer: int,
) -> None:
    container.map_dma(IOVA, buffer, 4 * PAGE)
    container.map_dma(IOVA + 4 * PAGE, buffer + 4 * PAGE, 4 * PAGE)
    assert probe.run(PIN, IOVA + 3 * PAGE, 2 * PAGE) == 0
    assert container.unmap_dma(IOVA, 4 * PAGE) == 4 * PAGE
    assert (probe.unmaps, probe.pinned, kvmiommu_system.total_pins) == (1, 1, 1)
    assert container.unmap_all() == 4 * PAGE
    assert (probe.unmaps, probe.pinned, kvmiommu_system.total_pins) == (2, 0, 0)
    assert kvmiommu_process.status("VmLck") == 0


def test_reads_and_writes_through_the_mapping(
    probe: Probe, container: Container, kvmiommu_process: Process, buffer: int
) -> None:
    container.map_dma(IOVA, buffer, PAGE)
    container.map_dma(IOVA + PAGE, buffer + 4 * PAGE, PAGE)
    probe.buffer = b"over the border!"
    assert probe.run(WRITE_MEMORY, IOVA + PAGE - 8, 16) == 0
    assert kvmiommu_process.peek(buffer + PAGE - 8, 8) == b"over the"
    assert kvmiommu_process.peek(buffer + 4 * PAGE, 8) == b" border!"
    probe.buffer = bytes(16)
    assert probe.run(READ_MEMORY, IOVA + PAGE - 8, 16) == 0
    assert probe.buffer == b"over the border!"
    assert probe.run(READ_MEMORY, IOVA + 2 * PAGE - 8, 16) == errno.EINVAL  # runs off the end
    kvmiommu_process.munmap(buffer + 4 * PAGE, PAGE)
    assert probe.run(READ_MEMORY, IOVA + PAGE, 8) == errno.EFAULT


@pytest.mark.parametrize(
    ("access", "reading", "writing"),
    [("rw", 0, 0), ("r", 0, errno.EPERM), ("w", errno.EPERM, errno.EPERM)],
    ids=["both", "read only", "write only: not even written"],
)
def test_access_rights(
    probe: Probe, container: Container, buffer: int, access: str, reading: int, writing: int
) -> None:
    container.map_dma(IOVA, buffer, PAGE, read="r" in access, write="w" in access)
    assert probe.run(READ_MEMORY, IOVA, 8) == reading
    assert probe.run(WRITE_MEMORY, IOVA, 8) == writing


def test_dirty_pages_are_those_that_drivers_touched(
    probe: Probe, container: Container, buffer: int
) -> None:
    container.map_dma(IOVA, buffer, 8 * PAGE)
    probe.run(PIN, IOVA, PAGE, BOTH)
    container.start_dirty_pages()
    probe.run(PIN, IOVA + 2 * PAGE, PAGE, BOTH)
    probe.run(WRITE_MEMORY, IOVA + 4 * PAGE + 8, 8)
    probe.run(READ_MEMORY, IOVA + 5 * PAGE, 8)
    dirty = [IOVA, IOVA + 2 * PAGE, IOVA + 4 * PAGE]
    assert [*container.dirty_bitmap(IOVA, 8 * PAGE)] == dirty
    # Reading forgets what was written once; what is pinned may be written at any time.
    assert [*container.dirty_bitmap(IOVA, 8 * PAGE)] == dirty[:2]
    probe.run(UNPIN, IOVA, PAGE)
    container.dirty_bitmap(IOVA, 8 * PAGE)
    assert [*container.dirty_bitmap(IOVA, 8 * PAGE)] == dirty[1:2]


def test_version_1_lets_no_driver_pin(kvmiommu_process: Process, group: Group, buffer: int) -> None:
    container = Container(kvmiommu_process)
    group.set_container(container)
    container.set_iommu(uapi.vfio.VFIO_TYPE1_IOMMU)
    container.map_dma(IOVA, buffer, PAGE)
    probe = Probe(group.get_device(NAME))
    assert probe.run(PIN, IOVA, PAGE) == errno.EACCES
    assert probe.run(READ_MEMORY, IOVA, 8) == 0


def test_user_addresses_stay_while_drivers_use_them(container: Container, buffer: int) -> None:
    assert container.check_extension(uapi.vfio.VFIO_UPDATE_VADDR) == 0
    container.map_dma(IOVA, buffer, PAGE)
    with pytest.raises(OSError, match="use the user addresses") as refused:
        container.invalidate_vaddr(IOVA, PAGE)
    assert refused.value.errno == errno.EBUSY


def test_an_iommu_joins_and_leaves(
    kvmiommu_system: System,
    probe: Probe,
    container: Container,
    kvmiommu_process: Process,
    buffer: int,
) -> None:
    container.map_dma(IOVA, buffer, 8 * PAGE)
    probe.run(PIN, IOVA, 2 * PAGE)
    assert kvmiommu_process.status("VmLck") == 8
    with Group(kvmiommu_process, 1) as hardware:
        hardware.set_container(container)
        # Everything is pinned for the IOMMU; what the driver has pinned is not charged twice.
        assert kvmiommu_process.status("VmLck") == 32
        assert kvmiommu_system.total_pins == 10
        hardware.unset_container()
    assert kvmiommu_process.status("VmLck") == 8
    assert kvmiommu_system.total_pins == 2
    probe.run(UNPIN, IOVA, PAGE)
    assert kvmiommu_process.status("VmLck") == 4


def test_a_group_that_is_refused_changes_no_charge(
    kvmiommu_system: System,
    probe: Probe,
    container: Container,
    kvmiommu_process: Process,
    buffer: int,
) -> None:
    container.map_dma(IOVA, buffer, 8 * PAGE)
    container.map_dma(IOVA + 8 * PAGE, 0x1000, PAGE)  # not looked at while no IOMMU is there
    probe.run(PIN, IOVA, 2 * PAGE)
    with (
        Group(kvmiommu_process, 1) as hardware,
        pytest.raises(OSError, match="cannot be pinned") as refused,
    ):
        hardware.set_container(container)
    assert refused.value.errno == errno.EFAULT
    assert (kvmiommu_system.total_pins, kvmiommu_process.status("VmLck")) == (2, 8)
    probe.run(UNPIN, IOVA, PAGE)
    assert (kvmiommu_system.total_pins, kvmiommu_process.status("VmLck")) == (1, 4)


def test_dirty_pages_when_the_page_size_changes() -> None:
    board = machine.load("virt-smmuv3").text()
    text = board.replace(
        'page_sizes = ["4K", "16K", "64K", "2M", "32M", "512M", "1G"]',
        'page_sizes = ["64K", "512M"]',
    )
    assert text != board
    description = machine.parse(text + f'\n[[emulated]]\nname = "{NAME}"\ngroup = 40\n')
    functions = description.groups()
    number = next(n for n, f in functions.items() if {one.driver for one in f} == {"vfio-pci"})
    with System(description) as system:
        process = system.process()
        container = Container(process)
        soft, hardware = Group(process, 40), Group(process, number)
        soft.set_container(container)
        container.set_iommu()
        hardware.set_container(container)
        size = 64 << 20
        container.map_dma(1 << 30, process.mmap(size, 3, 0x22, align=1 << 16), size)
        container.start_dirty_pages()
        hardware.unset_container()
        # Its devices may have written anything; then nobody is left who writes.
        assert len(container.dirty_bitmap(1 << 30, size)) == size // PAGE
        assert not container.dirty_bitmap(1 << 30, size)


def test_threads_that_pin_and_unmap_leave_no_pin(
    kvmiommu_system: System,
    probe: Probe,
    container: Container,
    kvmiommu_process: Process,
    buffer: int,
) -> None:
    probe.run(UNPIN, IOVA, 8 * PAGE)  # so that the registers say where
    command = struct.pack("<I", PIN)
    start = threading.Barrier(3)

    def pin() -> None:
        start.wait()
        for _ in range(300):
            probe.device.write(0, 0x18, command)

    threads = [threading.Thread(target=pin) for _ in range(2)]
    for thread in threads:
        thread.start()
    start.wait()
    for _ in range(300):
        container.map_dma(IOVA, buffer, 8 * PAGE)
        assert container.unmap_all() == 8 * PAGE
    for thread in threads:
        thread.join()
    assert (probe.pinned, kvmiommu_system.total_pins, kvmiommu_process.status("VmLck")) == (0, 0, 0)


def test_closing_gives_everything_back(
    kvmiommu_system: System,
    probe: Probe,
    container: Container,
    kvmiommu_process: Process,
    buffer: int,
) -> None:
    container.map_dma(IOVA, buffer, 8 * PAGE)
    probe.run(PIN, IOVA, 8 * PAGE)
    probe.device.close()
    assert kvmiommu_system.total_pins == 0
    assert kvmiommu_process.status("VmLck") == 0


def test_reset_lets_pages_go(probe: Probe, container: Container, buffer: int) -> None:
    container.map_dma(IOVA, buffer, PAGE)
    probe.run(PIN, IOVA, PAGE)
    probe.device.reset()
    assert probe.pinned == 0


def test_commands_that_cannot_be(probe: Probe) -> None:
    assert probe.run(PIN, IOVA, 0) == errno.EINVAL
    assert probe.run(PIN, (1 << 64) - PAGE, 2 * PAGE) == errno.EINVAL
    assert probe.run(READ_MEMORY, IOVA, 2049) == errno.EINVAL
    assert probe.run(99, IOVA, PAGE) == errno.EINVAL


def test_a_group_of_its_own() -> None:
    text = machine.load("q35-intel").text()
    with pytest.raises(machine.MachineError, match="a group of its own"):
        machine.parse(text + '[[emulated]]\nname = "x"\ngroup = 1\n')
    assert machine.parse(MACHINE.text()) == MACHINE
