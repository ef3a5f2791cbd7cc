# SPDX-License-Identifier: MIT
"""A device's file as an object."""

from __future__ import annotations

import ctypes
from collections.abc import Iterable, Sequence
from errno import EINVAL, ENOSPC, ENOTTY
from typing import TYPE_CHECKING

from .. import uapi
from .._integers import fit
from ..arguments import u16, u32
from ..descriptor import AnyDescriptor, Descriptor, fd_of
from .hot_reset import DependentDevice, HotResetInfo
from .irq import Irq
from .region import REGION_SHIFT, Region, set_ioeventfd, within_region

if TYPE_CHECKING:
    from .._core import ReadableBuffer
    from ..process import Process

__all__ = ["Device"]

_v = uapi.vfio

# Offsets of a file are 63 bits, those within a region the lower 40.
_MOST_REGIONS = 1 << 63 - REGION_SHIFT


def _place(index: int, offset: int) -> int:
    """Where in a device's file a region has its byte `offset`, with the layout of vfio-pci."""
    return fit("index", index, 0, _MOST_REGIONS - 1) << REGION_SHIFT | within_region(offset)


# What `argsz`, of 32 bits, has beside the header.
_MOST_FEATURE = (1 << 32) - 1 - ctypes.sizeof(_v.vfio_device_feature)


class Device(Descriptor):
    """A device in user space's hands; `Group.get_device` opens one. `name` is how it was opened."""

    def __init__(self, process: Process, fd: int, name: str = "") -> None:
        super().__init__(process, fd)
        self.name = name

    def get_info(self) -> _v.vfio_device_info:
        """VFIO_DEVICE_GET_INFO: flags, how many regions and kinds of interrupts."""
        info = _v.vfio_device_info(argsz=ctypes.sizeof(_v.vfio_device_info))
        self.ioctl(_v.VFIO_DEVICE_GET_INFO, info)
        return info

    def reset(self) -> None:
        """VFIO_DEVICE_RESET.

        - EINVAL: the device cannot be reset on its own.
        """
        self.ioctl(_v.VFIO_DEVICE_RESET)

    # --- regions ---

    def region(self, index: int) -> Region:
        """VFIO_DEVICE_GET_REGION_INFO, with capabilities: a region to read, write and map.

        - EINVAL: the device has no region of that index.
        """
        return Region(self, index)

    def get_region_info(self, index: int) -> _v.vfio_region_info:
        """VFIO_DEVICE_GET_REGION_INFO: size, and the offset for reads and writes.

        - EINVAL: the device has no region of that index.
        """
        info = _v.vfio_region_info(
            argsz=ctypes.sizeof(_v.vfio_region_info), index=u32("index", index)
        )
        self.ioctl(_v.VFIO_DEVICE_GET_REGION_INFO, info)
        return info

    def read(self, index: int, offset: int, length: int) -> bytes:
        """pread() of region `index`, without asking where it is; fewer bytes at the region's end.

        OSError: as `Region.read`.
        """
        return self.process.pread(self.fd, length, _place(index, offset))

    def write(self, index: int, offset: int, data: ReadableBuffer) -> int:
        """pwrite() to region `index`; the bytes written. OSError: as `Region.read`."""
        return self.process.pwrite(self.fd, data, _place(index, offset))

    def ioeventfd(
        self, index: int, offset: int, data: int, eventfd: AnyDescriptor | None, *, size: int = 4
    ) -> None:
        """VFIO_DEVICE_IOEVENTFD: a signal of `eventfd` stores `data` to `offset` of a region.

        `size` of the store is 1, 2, 4 or 8 bytes. None instead of an eventfd removes the one that
        was set for the same store.

        - EINVAL: another size, not within a BAR, or in the MSI-X table;
        - EEXIST: the store has an eventfd;
        - ENODEV: None, and the store has no eventfd;
        - ENOSPC: the device has 1000 of them;
        - EBADF: no such descriptor;
        - EINVAL: the descriptor is no eventfd;
        - ENOTTY: the device has no such request.
        """
        set_ioeventfd(self, _place(index, offset), data, eventfd, size)

    # --- interrupts ---

    def irq(self, index: int) -> Irq:
        """The interrupts of an index; no request is made."""
        return Irq(self, index)

    @property
    def intx(self) -> Irq:
        """The interrupt pin of a PCI device."""
        return Irq(self, _v.VFIO_PCI_INTX_IRQ_INDEX)

    @property
    def msi(self) -> Irq:
        """The MSI vectors of a PCI device."""
        return Irq(self, _v.VFIO_PCI_MSI_IRQ_INDEX)

    @property
    def msix(self) -> Irq:
        """The MSI-X vectors of a PCI device."""
        return Irq(self, _v.VFIO_PCI_MSIX_IRQ_INDEX)

    @property
    def err(self) -> Irq:
        """The error interrupt of a PCI Express device."""
        return Irq(self, _v.VFIO_PCI_ERR_IRQ_INDEX)

    @property
    def req(self) -> Irq:
        """The request interrupt: the kernel asks user space to release the device."""
        return Irq(self, _v.VFIO_PCI_REQ_IRQ_INDEX)

    def get_irq_info(self, index: int) -> _v.vfio_irq_info:
        """VFIO_DEVICE_GET_IRQ_INFO: `Irq.get_info`."""
        return Irq(self, index).get_info()

    def set_irqs(self, index: int, start: int, eventfds: Sequence[AnyDescriptor | None]) -> None:
        """VFIO_DEVICE_SET_IRQS: `Irq.set_eventfds`, or `Irq.disable` with no eventfds at all."""
        irq = Irq(self, index)
        if eventfds:
            irq.set_eventfds(eventfds, start)
        else:
            irq.trigger(start, 0)

    # --- hot reset ---

    def hot_reset_info(self) -> HotResetInfo:
        """VFIO_DEVICE_GET_PCI_HOT_RESET_INFO: which functions a reset of the bus resets.

        - ENODEV: nothing can reset the device's bus;
        - EPERM: one of the functions has no IOMMU group.
        """
        head = _v.vfio_pci_hot_reset_info(argsz=ctypes.sizeof(_v.vfio_pci_hot_reset_info))
        try:
            self.ioctl(_v.VFIO_DEVICE_GET_PCI_HOT_RESET_INFO, head)
        except OSError as error:
            # There was no room; `count` says for how many there must be.
            if error.errno != ENOSPC:
                raise
        entry = _v.vfio_pci_dependent_device
        head.argsz += head.count * ctypes.sizeof(entry)
        block = bytearray(bytes(head).ljust(head.argsz, b"\0"))
        self.ioctl(_v.VFIO_DEVICE_GET_PCI_HOT_RESET_INFO, block)
        found = _v.vfio_pci_hot_reset_info.from_buffer_copy(block)
        array = (entry * found.count).from_buffer_copy(block, ctypes.sizeof(head))
        return HotResetInfo(
            int(found.flags),
            tuple(
                DependentDevice(
                    int(each.group_id), int(each.segment), int(each.bus), int(each.devfn)
                )
                for each in array
            ),
        )

    def hot_reset(self, groups: Iterable[AnyDescriptor], *, timeout: float | None = None) -> None:
        """VFIO_DEVICE_PCI_HOT_RESET: resets the bus. `groups` are those of all functions on it.

        While another thread opens, closes or resets a device of the bus this one sleeps:
        TimeoutError once it has slept `timeout` seconds.

        - EINVAL: no group, or more groups than there are functions;
        - ENODEV: nothing can reset the device's bus;
        - EBADF: no such descriptor;
        - EINVAL: a descriptor is no group;
        - EINVAL: a function is in none of the groups, or its driver is not vfio-pci.
        """
        if not isinstance(groups, Iterable):
            raise TypeError(f"groups must be several groups, not {groups!r}")
        fds = [fd_of(self.process, "groups", group) for group in groups]
        tail = b"".join(fd.to_bytes(4, "little", signed=True) for fd in fds)
        head = _v.vfio_pci_hot_reset(
            argsz=ctypes.sizeof(_v.vfio_pci_hot_reset) + len(tail), count=len(fds)
        )
        request = _v.VFIO_DEVICE_PCI_HOT_RESET.number(self.process.abi)
        self.process.ioctl(self.fd, request, bytearray(bytes(head) + tail), timeout=timeout)

    # --- features ---

    def feature_probe(self, feature: int, *, get: bool = False, set: bool = False) -> bool:
        """VFIO_DEVICE_FEATURE with VFIO_DEVICE_FEATURE_PROBE: whether the device has the feature,
        and whether it can be got and set if `get` and `set` ask for that. Nothing is done.

        `feature` is VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY and its like. False stands for two errnos:
        ENOTTY, the device does not have it; EINVAL, it cannot be got or set. Others are raised.
        """
        flags = (
            _v.VFIO_DEVICE_FEATURE_PROBE
            | (get and _v.VFIO_DEVICE_FEATURE_GET)
            | (set and _v.VFIO_DEVICE_FEATURE_SET)
        )
        try:
            self._feature(feature, flags, b"")
        except OSError as error:
            if error.errno not in (ENOTTY, EINVAL):
                raise
            return False
        return True

    def feature_get(self, feature: int, length: int) -> bytes:
        """VFIO_DEVICE_FEATURE with VFIO_DEVICE_FEATURE_GET: returns the feature's structure, of
        `length` bytes.

        - ENOTTY: the device does not have the feature;
        - EINVAL: it cannot be got, or its structure is longer.
        """
        return self._feature(
            feature, _v.VFIO_DEVICE_FEATURE_GET, bytes(fit("length", length, 0, _MOST_FEATURE))
        )

    def feature_set(self, feature: int, data: ReadableBuffer = b"") -> None:
        """VFIO_DEVICE_FEATURE with VFIO_DEVICE_FEATURE_SET. `data` is the feature's structure.

        - ENOTTY: the device does not have the feature;
        - EINVAL: it cannot be set, or its structure is longer;
        - what the feature returns.
        """
        self._feature(feature, _v.VFIO_DEVICE_FEATURE_SET, bytes(memoryview(data)))

    def _feature(self, feature: int, flags: int, data: bytes) -> bytes:
        head = _v.vfio_device_feature(
            argsz=ctypes.sizeof(_v.vfio_device_feature) + len(data),
            flags=u16("feature", feature) | flags,
        )
        block = bytearray(bytes(head) + data)
        self.ioctl(_v.VFIO_DEVICE_FEATURE, block)
        return bytes(block[ctypes.sizeof(head) :])

    def low_power_entry(self, wakeup: AnyDescriptor | None = None) -> None:
        """VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY: lets the device enter low power.

        With an eventfd it is VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY_WITH_WAKEUP: `wakeup` is signalled
        when the host wakes the device, which nothing here does.

        - EINVAL: the device is in low power, or the descriptor is no eventfd;
        - EBADF: no such descriptor.
        """
        if wakeup is None:
            self.feature_set(_v.VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY)
        else:
            fd = fd_of(self.process, "wakeup", wakeup)
            entry = _v.vfio_device_low_power_entry_with_wakeup(wakeup_eventfd=fd)
            self.feature_set(_v.VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY_WITH_WAKEUP, bytes(entry))

    def low_power_exit(self) -> None:
        """VFIO_DEVICE_FEATURE_LOW_POWER_EXIT: takes the device out of low power; no error if it is
        not in it."""
        self.feature_set(_v.VFIO_DEVICE_FEATURE_LOW_POWER_EXIT)

    def __repr__(self) -> str:
        return f"<Device{' ' * bool(self.name)}{self.name}, {self._number()}>"
