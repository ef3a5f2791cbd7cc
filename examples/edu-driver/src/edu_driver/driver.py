# SPDX-License-Identifier: MIT
"""The driver. Registers and their meaning: docs/specs/edu.rst of QEMU."""

from __future__ import annotations

import ctypes
import os
from contextlib import ExitStack
from mmap import MAP_ANONYMOUS, MAP_PRIVATE, MAP_SHARED, PROT_READ, PROT_WRITE
from types import TracebackType
from typing import Self

from . import vfio
from .calls import Calls

__all__ = ["DeviceError", "Edu"]

# Registers in BAR 0; those from DMA_SOURCE on have 64 bits.
IDENTIFICATION = 0x00
FACTORIAL = 0x08
STATUS = 0x20
INTERRUPT_STATUS = 0x24
INTERRUPT_ACKNOWLEDGE = 0x64
DMA_SOURCE = 0x80
DMA_DESTINATION = 0x88
DMA_COUNT = 0x90
DMA_COMMAND = 0x98

STATUS_INTERRUPT_AFTER_FACTORIAL = 0x80
CAUSE_FACTORIAL = 0x1
CAUSE_DMA = 0x100
DMA_START = 0x1
DMA_FROM_DEVICE = 0x2
DMA_INTERRUPT = 0x4

#: The device's own buffer, as its DMA engine addresses it.
BUFFER = 0x40000
BUFFER_SIZE = 4096

#: Where the device finds our memory. Its addresses have 28 bits.
IOVA = 0x100000
#: A multiple of every page size, 64 KiB included.
DMA_SIZE = 0x10000

PCI_COMMAND = 0x04
PCI_COMMAND_MEMORY_AND_MASTER = 0x2 | 0x4


class DeviceError(Exception):
    """The device is not what it should be, or does what it should not."""


class Edu:
    """An edu device that is bound to vfio-pci.

    `group` is the number of its IOMMU group (/dev/vfio/`group`), `address` its PCI address. Raises
    OSError when a call is refused and DeviceError when the device is another one; whatever has been
    opened by then is closed.
    """

    def __init__(self, calls: Calls, group: int, address: str) -> None:
        self._calls = calls
        with ExitStack() as undo:
            container = self._open("/dev/vfio/vfio", undo)
            if calls.ioctl(container, vfio.GET_API_VERSION, 0) != vfio.API_VERSION:
                raise DeviceError("this driver does not know the kernel's version of VFIO")
            if not calls.ioctl(container, vfio.CHECK_EXTENSION, vfio.TYPE1v2_IOMMU):
                raise DeviceError("this machine has no IOMMU of type 1")
            group_fd = self._open(f"/dev/vfio/{group}", undo)
            status = vfio.GroupStatus()
            calls.ioctl(group_fd, vfio.GROUP_GET_STATUS, status)
            if not status.flags & vfio.GROUP_FLAGS_VIABLE:
                raise DeviceError(f"not every device of group {group} is bound to vfio-pci")
            calls.ioctl(group_fd, vfio.GROUP_SET_CONTAINER, ctypes.c_int32(container))
            calls.ioctl(container, vfio.SET_IOMMU, vfio.TYPE1v2_IOMMU)
            name = bytearray(address.encode() + b"\0")
            device = calls.ioctl(group_fd, vfio.GROUP_GET_DEVICE_FD, name)
            undo.callback(calls.close, device)

            self._registers = self._map_registers(device, undo)
            if self._load(IDENTIFICATION) & 0xFFFF != 0x00ED:
                raise DeviceError(f"{address} is no edu: {self._load(IDENTIFICATION):#010x}")
            # The device has no reset: what the last driver left is acknowledged.
            self._store(INTERRUPT_ACKNOWLEDGE, self._load(INTERRUPT_STATUS))
            self._memory = self._map_memory(container, undo)
            self._event = self._enable_interrupt(device, undo)
            self._undo = undo.pop_all()

    def factorial(self, number: int, timeout: float = 1.0) -> int:
        """Has the device compute `number`!, which must fit into 32 bits: 0 to 12.

        Raises TimeoutError when its interrupt has not come after `timeout` seconds.
        """
        if not 0 <= number <= 12:
            raise ValueError(f"the factorial of {number} has no place in 32 bits: 0 to 12")
        self._store(STATUS, STATUS_INTERRUPT_AFTER_FACTORIAL)
        self._store(FACTORIAL, number)
        self._wait_for(CAUSE_FACTORIAL, timeout)
        return self._load(FACTORIAL)

    def write(self, data: bytes, offset: int = 0, timeout: float = 1.0) -> None:
        """Copies `data` into the device's buffer of 4096 bytes, at `offset`."""
        self._check_range(offset, len(data))
        self._calls.poke(self._memory, data)
        self._transfer(IOVA, BUFFER + offset, len(data), 0, timeout)

    def read(self, length: int, offset: int = 0, timeout: float = 1.0) -> bytes:
        """Returns `length` bytes of the device's buffer, from `offset` on."""
        self._check_range(offset, length)
        self._transfer(BUFFER + offset, IOVA, length, DMA_FROM_DEVICE, timeout)
        return self._calls.peek(self._memory, length)

    def close(self) -> None:
        """Stops the device and returns everything. Closing again does nothing."""
        self._undo.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        where: TracebackType | None,
    ) -> None:
        self.close()

    # --- setting up: each step says what undoes it ---

    def _open(self, path: str, undo: ExitStack) -> int:
        fd = self._calls.open(path, os.O_RDWR)
        undo.callback(self._calls.close, fd)
        return fd

    def _map_registers(self, device: int, undo: ExitStack) -> int:
        config = vfio.RegionInfo(index=vfio.PCI_CONFIG_REGION_INDEX)
        self._calls.ioctl(device, vfio.DEVICE_GET_REGION_INFO, config)
        command = PCI_COMMAND_MEMORY_AND_MASTER.to_bytes(2, "little")
        self._calls.pwrite(device, command, config.offset + PCI_COMMAND)

        bar = vfio.RegionInfo(index=0)
        self._calls.ioctl(device, vfio.DEVICE_GET_REGION_INFO, bar)
        address = self._calls.mmap(bar.size, PROT_READ | PROT_WRITE, MAP_SHARED, device, bar.offset)
        undo.callback(self._calls.munmap, address, bar.size)
        return address

    def _map_memory(self, container: int, undo: ExitStack) -> int:
        address = self._calls.mmap(
            DMA_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0
        )
        undo.callback(self._calls.munmap, address, DMA_SIZE)
        dma = vfio.DmaMap(
            flags=vfio.DMA_MAP_FLAG_READ_WRITE, vaddr=address, iova=IOVA, size=DMA_SIZE
        )
        self._calls.ioctl(container, vfio.IOMMU_MAP_DMA, dma)
        unmap = vfio.DmaUnmap(iova=IOVA, size=DMA_SIZE)
        undo.callback(self._calls.ioctl, container, vfio.IOMMU_UNMAP_DMA, unmap)
        return address

    def _enable_interrupt(self, device: int, undo: ExitStack) -> int:
        event = self._calls.eventfd(0, os.EFD_CLOEXEC)
        undo.callback(self._calls.close, event)
        irqs = vfio.IrqSet(
            flags=vfio.IRQ_SET_DATA_EVENTFD_ACTION_TRIGGER,
            index=vfio.PCI_MSI_IRQ_INDEX,
            count=1,
            eventfd=event,
        )
        self._calls.ioctl(device, vfio.DEVICE_SET_IRQS, irqs)
        # The kernel disables the interrupt when the device is closed.
        return event

    # --- at work ---

    def _load(self, register: int) -> int:
        return int.from_bytes(self._calls.peek(self._registers + register, 4), "little")

    def _store(self, register: int, value: int, size: int = 4) -> None:
        self._calls.poke(self._registers + register, value.to_bytes(size, "little"))

    def _transfer(
        self, source: int, destination: int, count: int, direction: int, timeout: float
    ) -> None:
        if not count:
            return
        self._store(DMA_SOURCE, source, 8)
        self._store(DMA_DESTINATION, destination, 8)
        self._store(DMA_COUNT, count, 8)
        self._store(DMA_COMMAND, DMA_START | DMA_INTERRUPT | direction, 8)
        self._wait_for(CAUSE_DMA, timeout)

    def _wait_for(self, cause: int, timeout: float) -> None:
        if not self._calls.wait(self._event, timeout):
            raise TimeoutError(f"no interrupt of the device within {timeout} s")
        self._calls.read(self._event, 8)
        causes = self._load(INTERRUPT_STATUS)
        self._store(INTERRUPT_ACKNOWLEDGE, causes)
        if causes != cause:
            raise DeviceError(f"an interrupt for {causes:#x}, and {cause:#x} was to come")

    @staticmethod
    def _check_range(offset: int, length: int) -> None:
        if not (0 <= offset <= BUFFER_SIZE and 0 <= length <= BUFFER_SIZE - offset):
            raise ValueError(
                f"{length} bytes at {offset}: the device's buffer has {BUFFER_SIZE} bytes"
            )
