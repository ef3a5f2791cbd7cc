# SPDX-License-Identifier: MIT
"""QEMU's edu device behind VFIO: its registers, its interrupts, and its DMA through the container.

The addresses that it puts on the bus have 28 bits, its buffer lies at 0x40000 for its DMA engine.
"""

from __future__ import annotations

import errno
import os
import struct

import pytest

from kvmiommu import DmaFault, System, uapi
from kvmiommu.errors import MemoryFault
from kvmiommu.process import Process
from kvmiommu.vfio import Container, Device, Group

EDU = "0000:00:02.0"
CONFIG = uapi.vfio.VFIO_PCI_CONFIG_REGION_INDEX
INTX, MSI = 0, 1
MEMORY, MASTER, INTX_DISABLE = 0x2, 0x4, 0x400
PRIVATE_ANONYMOUS = 0x22
MAP_SHARED, MAP_PRIVATE = 1, 2

IOVA = 0x100000
SIZE = 0x4000
BUFFER = 0x40000  # of the device, as its engine sees it
TO_DEVICE, TO_MEMORY, INTERRUPT = 0x1, 0x3, 0x4


class Edu:
    """The device as its driver sees it."""

    def __init__(self, device: Device) -> None:
        self.device = device
        self.command(MEMORY | MASTER)

    def command(self, bits: int) -> None:
        self.device.write(CONFIG, 4, struct.pack("<H", bits))

    def load(self, offset: int) -> int:
        return struct.unpack("<I", self.device.read(0, offset, 4))[0]

    def store(self, offset: int, value: int) -> None:
        self.device.write(0, offset, struct.pack("<I", value))

    def dma(self, source: int, destination: int, count: int, command: int) -> None:
        for offset, value in ((0x80, source), (0x88, destination), (0x90, count), (0x98, command)):
            self.device.write(0, offset, struct.pack("<Q", value))


@pytest.fixture
def buffer(kvmiommu_process: Process) -> int:
    return kvmiommu_process.mmap(SIZE, 3, PRIVATE_ANONYMOUS)


@pytest.fixture
def edu(vfio_container: Container, vfio_group: Group) -> Edu:
    return Edu(vfio_group.get_device(EDU))


def test_registers(edu: Edu) -> None:
    assert edu.load(0x00) == 0x010000ED
    edu.store(0x04, 0x12345678)
    assert edu.load(0x04) == 0xEDCBA987
    edu.store(0x08, 10)
    assert edu.load(0x08) == 3628800
    assert edu.device.read(0, 0x00, 2) == b"\0\0"  # nothing answers narrow accesses


def test_dma_moves_what_is_mapped(
    edu: Edu, vfio_container: Container, kvmiommu_process: Process, buffer: int
) -> None:
    vfio_container.map_dma(IOVA, buffer, SIZE)
    message = bytes(range(256)) * 8
    kvmiommu_process.poke(buffer + 0x800, message)  # over the border of a page
    edu.dma(IOVA + 0x800, BUFFER, len(message), TO_DEVICE)
    edu.dma(BUFFER, IOVA + 0x2100, len(message), TO_MEMORY)
    assert kvmiommu_process.peek(buffer + 0x2100, len(message)) == message
    assert kvmiommu_process.peek(buffer + 0x20FF, 1) == b"\0"


def test_dma_reaches_memory_that_the_process_has_unmapped(
    kvmiommu_system: System,
    edu: Edu,
    vfio_container: Container,
    kvmiommu_process: Process,
    buffer: int,
) -> None:
    vfio_container.map_dma(IOVA, buffer, SIZE)
    kvmiommu_process.poke(buffer, b"pinned")
    kvmiommu_process.munmap(buffer, SIZE)
    # As long as it is mapped for the device, nothing that it does is a fault.
    edu.dma(IOVA, BUFFER, 6, TO_DEVICE)
    edu.dma(BUFFER, IOVA + 0x1000, 6, TO_MEMORY)
    assert kvmiommu_system.dma_faults() == []
    other = kvmiommu_process.mmap(0x1000, 3, PRIVATE_ANONYMOUS)
    vfio_container.map_dma(0x200000, other, 0x1000)
    edu.dma(BUFFER, 0x200000, 6, TO_MEMORY)
    assert kvmiommu_process.peek(other, 6) == b"pinned"


def test_an_unmapped_address_is_a_fault(
    kvmiommu_system: System,
    edu: Edu,
    vfio_container: Container,
    kvmiommu_process: Process,
    buffer: int,
) -> None:
    vfio_container.map_dma(IOVA, buffer, 0x1000)
    kvmiommu_process.poke(buffer, b"x" * 0x1000)
    edu.dma(IOVA + 0xF00, BUFFER, 0x200, TO_DEVICE)
    assert kvmiommu_system.dma_faults() == [DmaFault(0, EDU, IOVA + 0x1000, "read", "not mapped")]
    # What lay before it was moved.
    vfio_container.unmap_all()
    vfio_container.map_dma(0x200000, buffer, 0x1000)
    kvmiommu_process.poke(buffer, bytes(0x200))
    edu.dma(BUFFER, 0x200000, 0x200, TO_MEMORY)
    assert kvmiommu_process.peek(buffer, 0x200) == b"x" * 0x100 + bytes(0x100)
    # After an unmap the same address leads nowhere.
    vfio_container.unmap_all()
    edu.dma(BUFFER, 0x200000, 4, TO_MEMORY)
    assert kvmiommu_system.dma_faults()[1:] == [DmaFault(1, EDU, 0x200000, "write", "not mapped")]


def test_a_mapping_permits_what_it_says(
    kvmiommu_system: System,
    edu: Edu,
    vfio_container: Container,
    kvmiommu_process: Process,
    buffer: int,
) -> None:
    vfio_container.map_dma(IOVA, buffer, 0x1000, write=False)
    vfio_container.map_dma(IOVA + 0x1000, buffer + 0x1000, 0x1000, read=False)
    edu.dma(BUFFER, IOVA, 4, TO_MEMORY)
    edu.dma(IOVA + 0x1000, BUFFER, 4, TO_DEVICE)
    assert [(fault.access, fault.iova, fault.cause) for fault in kvmiommu_system.dma_faults()] == [
        ("write", IOVA, "not permitted"),
        ("read", IOVA + 0x1000, "not permitted"),
    ]
    assert kvmiommu_process.peek(buffer, 4) == bytes(4)


def test_without_bus_master_nothing_is_moved(
    kvmiommu_system: System,
    edu: Edu,
    vfio_container: Container,
    kvmiommu_process: Process,
    buffer: int,
) -> None:
    vfio_container.map_dma(IOVA, buffer, SIZE)
    edu.command(MEMORY)
    edu.dma(BUFFER, IOVA, 4, TO_MEMORY)
    assert [fault.cause for fault in kvmiommu_system.dma_faults()] == ["bus master off"]


def test_its_addresses_have_28_bits(
    edu: Edu, vfio_container: Container, kvmiommu_process: Process, buffer: int
) -> None:
    vfio_container.map_dma(IOVA, buffer, SIZE)
    kvmiommu_process.poke(buffer, b"seen")
    edu.dma(IOVA | 1 << 28, BUFFER, 4, TO_DEVICE)
    edu.dma(BUFFER, IOVA + 0x1000, 4, TO_MEMORY)
    assert kvmiommu_process.peek(buffer + 0x1000, 4) == b"seen"


def test_msi_signals_an_eventfd(edu: Edu, kvmiommu_process: Process) -> None:
    irq = kvmiommu_process.eventfd(0, os.O_NONBLOCK)
    edu.device.set_irqs(MSI, 0, [irq])
    edu.store(0x60, 0x10)
    edu.store(0x20, 0x80)
    edu.store(0x08, 3)
    assert kvmiommu_process.read(irq, 8) == struct.pack("<Q", 2)
    assert edu.load(0x24) == 0x11
    edu.device.set_irqs(MSI, 0, [])
    edu.store(0x60, 0x20)
    with pytest.raises(BlockingIOError):
        kvmiommu_process.read(irq, 8)


def test_dma_interrupts_when_it_is_done(
    edu: Edu, vfio_container: Container, kvmiommu_process: Process, buffer: int
) -> None:
    vfio_container.map_dma(IOVA, buffer, SIZE)
    irq = kvmiommu_process.eventfd(0, os.O_NONBLOCK)
    edu.device.set_irqs(MSI, 0, [irq])
    edu.dma(BUFFER, IOVA, 64, TO_MEMORY | INTERRUPT)
    assert kvmiommu_process.read(irq, 8) == struct.pack("<Q", 1)
    assert edu.load(0x24) == 0x100


def test_intx_is_masked_until_it_is_served(edu: Edu, kvmiommu_process: Process) -> None:
    irq = kvmiommu_process.eventfd(0, os.O_NONBLOCK)
    edu.device.set_irqs(INTX, 0, [irq])
    edu.store(0x60, 1)
    edu.store(0x60, 2)
    assert kvmiommu_process.read(irq, 8) == struct.pack("<Q", 1)
    unmask(edu.device)  # still asserted: told once more
    assert kvmiommu_process.read(irq, 8) == struct.pack("<Q", 1)
    edu.store(0x64, 3)
    unmask(edu.device)
    with pytest.raises(BlockingIOError):
        kvmiommu_process.read(irq, 8)
    edu.store(0x60, 1)
    assert kvmiommu_process.read(irq, 8) == struct.pack("<Q", 1)


def test_intx_unmasked_by_an_eventfd(edu: Edu, kvmiommu_process: Process) -> None:
    irq = kvmiommu_process.eventfd(0, os.O_NONBLOCK)
    served = kvmiommu_process.eventfd(0, os.O_NONBLOCK)
    edu.device.set_irqs(INTX, 0, [irq])
    set_irqs(edu.device, uapi.vfio.VFIO_IRQ_SET_ACTION_UNMASK, served)
    with pytest.raises(OSError, match="has an eventfd") as refused:
        set_irqs(edu.device, uapi.vfio.VFIO_IRQ_SET_ACTION_UNMASK, served)
    assert refused.value.errno == errno.EBUSY
    edu.store(0x60, 1)
    kvmiommu_process.read(irq, 8)
    kvmiommu_process.write(served, struct.pack("<Q", 1))
    assert kvmiommu_process.read(irq, 8) == struct.pack("<Q", 1)
    with pytest.raises(BlockingIOError):
        kvmiommu_process.read(served, 8)  # the kernel took it


def test_the_command_register_disables_intx(edu: Edu, kvmiommu_process: Process) -> None:
    irq = kvmiommu_process.eventfd(0, os.O_NONBLOCK)
    edu.device.set_irqs(INTX, 0, [irq])
    edu.command(MEMORY | INTX_DISABLE)
    edu.store(0x60, 1)
    with pytest.raises(BlockingIOError):
        kvmiommu_process.read(irq, 8)
    assert struct.unpack("<H", edu.device.read(CONFIG, 6, 2))[0] & 0x8  # pending, all the same
    edu.command(MEMORY)
    assert kvmiommu_process.read(irq, 8) == struct.pack("<Q", 1)


def test_a_mapped_bar_has_registers(edu: Edu, kvmiommu_process: Process) -> None:
    bar = kvmiommu_process.mmap(0x100000, 3, MAP_SHARED, edu.device.fd, 0)
    assert kvmiommu_process.peek(bar, 4) == struct.pack("<I", 0x010000ED)
    kvmiommu_process.poke(bar + 8, struct.pack("<I", 5))
    assert kvmiommu_process.peek(bar + 8, 4) == struct.pack("<I", 120)
    edu.command(0)
    with pytest.raises(MemoryFault, match="SIGBUS"):
        kvmiommu_process.peek(bar, 4)
    with pytest.raises(OSError, match="switched off") as refused:
        edu.load(0)
    assert refused.value.errno == errno.EIO
    edu.command(MEMORY)
    kvmiommu_process.munmap(bar, 0x100000)
    for length, flags in ((0x101000, MAP_SHARED), (0x1000, MAP_PRIVATE)):
        with pytest.raises(OSError, match=r"MAP_SHARED|region 0") as refused:
            kvmiommu_process.mmap(length, 3, flags, edu.device.fd, 0)
        assert refused.value.errno == errno.EINVAL


def test_a_mapped_bar_keeps_the_device_open(
    edu: Edu, vfio_group: Group, kvmiommu_process: Process
) -> None:
    bar = kvmiommu_process.mmap(0x1000, 3, MAP_SHARED, edu.device.fd, 0)
    edu.device.close()
    assert kvmiommu_process.peek(bar, 4) == struct.pack("<I", 0x010000ED)
    with pytest.raises(OSError, match="more users") as refused:
        vfio_group.unset_container()
    assert refused.value.errno == errno.EBUSY
    kvmiommu_process.munmap(bar, 0x1000)
    vfio_group.unset_container()


def test_registers_are_no_memory_for_dma(
    edu: Edu, vfio_container: Container, kvmiommu_process: Process
) -> None:
    bar = kvmiommu_process.mmap(0x1000, 3, MAP_SHARED, edu.device.fd, 0)
    with pytest.raises(OSError, match="cannot be pinned") as refused:
        vfio_container.map_dma(IOVA, bar, 0x1000)
    assert refused.value.errno == errno.EFAULT


def test_an_eventfd_that_stores(edu: Edu, kvmiommu_process: Process) -> None:
    kick = kvmiommu_process.eventfd(0, os.O_NONBLOCK)
    request = bytearray(struct.pack("<IIQQii", 32, 4, 0x08, 6, kick, 0))
    edu.device.ioctl(uapi.vfio.VFIO_DEVICE_IOEVENTFD, request)
    kvmiommu_process.write(kick, struct.pack("<Q", 1))
    assert edu.load(0x08) == 720
    with pytest.raises(FileExistsError):
        edu.device.ioctl(uapi.vfio.VFIO_DEVICE_IOEVENTFD, request)
    take_away = bytearray(struct.pack("<IIQQii", 32, 4, 0x08, 6, -1, 0))
    edu.device.ioctl(uapi.vfio.VFIO_DEVICE_IOEVENTFD, take_away)
    with pytest.raises(OSError, match="no eventfd") as refused:
        edu.device.ioctl(uapi.vfio.VFIO_DEVICE_IOEVENTFD, take_away)
    assert refused.value.errno == errno.ENODEV


def test_closing_stops_the_device(
    edu: Edu, vfio_container: Container, vfio_group: Group, kvmiommu_process: Process, buffer: int
) -> None:
    vfio_container.map_dma(IOVA, buffer, SIZE)
    edu.device.close()
    device = vfio_group.get_device(EDU)
    command = struct.unpack("<H", device.read(CONFIG, 4, 2))[0]
    assert not command & MASTER
    device.write(0, 0x98, struct.pack("<Q", TO_DEVICE))
    assert kvmiommu_process.peek(buffer, 4) == bytes(4)


def unmask(device: Device) -> None:
    flags = uapi.vfio.VFIO_IRQ_SET_DATA_NONE | uapi.vfio.VFIO_IRQ_SET_ACTION_UNMASK
    request = struct.pack("<IIIII", 20, flags, INTX, 0, 1)
    device.ioctl(uapi.vfio.VFIO_DEVICE_SET_IRQS, bytearray(request))


def set_irqs(device: Device, action: int, eventfd: int) -> None:
    flags = uapi.vfio.VFIO_IRQ_SET_DATA_EVENTFD | action
    request = struct.pack("<IIIIIi", 24, flags, INTX, 0, 1, eventfd)
    device.ioctl(uapi.vfio.VFIO_DEVICE_SET_IRQS, bytearray(request))
