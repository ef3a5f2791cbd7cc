# SPDX-License-Identifier: MIT
"""A device that was opened through its group and a container, for tests of the thin objects."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager

from kvmiommu import System, uapi
from kvmiommu.process import Process
from kvmiommu.vfio import Container, Device, Group

#: On the machine q35-intel: alone on the root bus; behind a root port; two behind a bridge.
EDU, E1000E = "0000:00:02.0", "0000:01:00.0"
BEHIND_BRIDGE = ("0000:02:01.0", "0000:02:02.0")

_CONFIG = uapi.vfio.VFIO_PCI_CONFIG_REGION_INDEX
_COMMAND, _MEMORY_AND_MASTER = 4, 6


class Scene:
    """A process of a machine whose groups are in one type 1 container."""

    def __init__(self, system: System, *groups: int) -> None:
        self.system = system
        self.process: Process = system.process()
        self.container = Container(self.process)
        self.groups = {number: Group(self.process, number) for number in groups}
        for group in self.groups.values():
            group.set_container(self.container)
        self.container.set_iommu()

    def open(self, name: str) -> Device:
        """The device, its memory and DMA switched on."""
        numbers = {function.address: function.group for function in self.system.machine.pci}
        number = numbers[name]
        assert number is not None
        device = self.groups[number].get_device(name)
        device.write(_CONFIG, _COMMAND, struct.pack("<H", _MEMORY_AND_MASTER))
        return device

    def eventfd(self) -> int:
        return self.process.eventfd(0, os.O_NONBLOCK)

    def signal(self, fd: int) -> None:
        self.process.write(fd, struct.pack("<Q", 1))

    def count(self, fd: int) -> int:
        """How often an eventfd was signalled since this was asked last."""
        try:
            return int(struct.unpack("<Q", self.process.read(fd, 8))[0])
        except BlockingIOError:
            return 0


@contextmanager
def scene(*groups: int) -> Iterator[Scene]:
    with System("q35-intel") as system:
        yield Scene(system, *groups)
