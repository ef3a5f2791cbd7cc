# SPDX-License-Identifier: MIT
"""The interrupts of a device: VFIO_DEVICE_GET_IRQ_INFO and VFIO_DEVICE_SET_IRQS."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence, Sized
from typing import TYPE_CHECKING

from .. import uapi
from ..arguments import u8, u32
from ..descriptor import AnyDescriptor, fd_of

if TYPE_CHECKING:
    from .device import Device

__all__ = ["Irq"]

_v = uapi.vfio


class Irq:
    """The interrupts of one index of a device: INTx, MSI, MSI-X, errors, requests to release it.

    `Device.irq` makes one, and so do `Device.intx` and its like. Each method except `get_info` is
    VFIO_DEVICE_SET_IRQS for interrupts `start` to `start` + `count` - 1, and may be refused with

    - EINVAL: the device has no such index, or not so many interrupts of it;
    - ENOTTY: the index does not have the action. vfio-pci masks and unmasks INTx alone.
    """

    def __init__(self, device: Device, index: int) -> None:
        self.device = device
        #: VFIO_PCI_INTX_IRQ_INDEX and its like.
        self.index = index

    def get_info(self) -> _v.vfio_irq_info:
        """VFIO_DEVICE_GET_IRQ_INFO: how many interrupts there are, and what can be done to them.

        - EINVAL: the device has no such index.
        """
        info = _v.vfio_irq_info(
            argsz=ctypes.sizeof(_v.vfio_irq_info), index=u32("index", self.index)
        )
        self.device.ioctl(_v.VFIO_DEVICE_GET_IRQ_INFO, info)
        return info

    def set_eventfds(self, eventfds: Sequence[AnyDescriptor | None], start: int = 0) -> None:
        """Sets the eventfds that the interrupts from `start` on signal; None is no eventfd.

        The first call enables the interrupts of the index.

        - EINVAL: another one of INTx, MSI and MSI-X is enabled;
        - EINVAL: a descriptor is no eventfd;
        - EINVAL: the device is not in D0;
        - EBADF: no such descriptor.
        """
        self._set(_v.VFIO_IRQ_SET_ACTION_TRIGGER, start, None, None, eventfds)

    def disable(self) -> None:
        """Disables the interrupts of the index, and removes all of their eventfds.

        - EINVAL: they are not enabled.
        """
        self.trigger(0, 0)

    def trigger(
        self, start: int = 0, count: int | None = None, *, bools: Sequence[bool] | None = None
    ) -> None:
        """Signals the eventfds as if the device had raised the interrupts: a loop-back.

        With `bools`, those whose value is true. `count` is how many values there are unless it is
        given, and 1 without values. A vector without an eventfd is no error.

        - EINVAL: the interrupts are not enabled.
        """
        self._set(_v.VFIO_IRQ_SET_ACTION_TRIGGER, start, count, bools, None)

    def mask(
        self,
        start: int = 0,
        count: int | None = None,
        *,
        bools: Sequence[bool] | None = None,
        eventfds: Sequence[AnyDescriptor | None] | None = None,
    ) -> None:
        """Masks the interrupts: with `bools`, those whose value is true; with `eventfds`, each when
        its eventfd is signalled. `count` is as for `trigger`.

        - EINVAL: they are not enabled;
        - ENOTTY: `eventfds`, which vfio-pci does not have for this.
        """
        self._set(_v.VFIO_IRQ_SET_ACTION_MASK, start, count, bools, eventfds)

    def unmask(
        self,
        start: int = 0,
        count: int | None = None,
        *,
        bools: Sequence[bool] | None = None,
        eventfds: Sequence[AnyDescriptor | None] | None = None,
    ) -> None:
        """Unmasks the interrupts: with `bools`, those whose value is true; with `eventfds`, each
        whenever its eventfd is signalled, until a call with None removes that eventfd. `count` is
        as for `trigger`.

        INTx is masked each time it is signalled (VFIO_IRQ_INFO_AUTOMASKED).

        - EINVAL: they are not enabled;
        - EBUSY: INTx has an eventfd that unmasks it.
        """
        self._set(_v.VFIO_IRQ_SET_ACTION_UNMASK, start, count, bools, eventfds)

    def _set(
        self,
        action: int,
        start: int,
        count: int | None,
        bools: Sequence[bool] | None,
        eventfds: Sequence[AnyDescriptor | None] | None,
    ) -> None:
        if bools is not None and eventfds is not None:
            raise TypeError("bools and eventfds at once: an interrupt takes one kind of data")
        for name, several in (("bools", bools), ("eventfds", eventfds)):
            if several is not None and not isinstance(several, Sized):
                raise TypeError(
                    f"{name} must be a sequence, one item an interrupt, not {several!r}"
                )
        values: int | None = None
        if bools is not None:
            kind = _v.VFIO_IRQ_SET_DATA_BOOL
            values, data = len(bools), bytes(u8("bools", each) for each in bools)
        elif eventfds is not None:
            kind = _v.VFIO_IRQ_SET_DATA_EVENTFD
            values, data = len(eventfds), b"".join(map(self._fd, eventfds))
        else:
            kind, data = _v.VFIO_IRQ_SET_DATA_NONE, b""
        if count is None:
            count = 1 if values is None else values
        head = _v.vfio_irq_set(
            argsz=ctypes.sizeof(_v.vfio_irq_set) + len(data),
            flags=kind | action,
            index=u32("index", self.index),
            start=u32("start", start),
            count=u32("count", count),
        )
        self.device.ioctl(_v.VFIO_DEVICE_SET_IRQS, bytearray(bytes(head) + data))

    def _fd(self, eventfd: AnyDescriptor | None) -> bytes:
        fd = -1 if eventfd is None else fd_of(self.device.process, "eventfds", eventfd)
        return fd.to_bytes(4, "little", signed=True)

    def __repr__(self) -> str:
        return f"<Irq {_NAMES.get(self.index, self.index)} of {self.device!r}>"


_NAMES = {
    _v.VFIO_PCI_INTX_IRQ_INDEX: "INTx",
    _v.VFIO_PCI_MSI_IRQ_INDEX: "MSI",
    _v.VFIO_PCI_MSIX_IRQ_INDEX: "MSI-X",
    _v.VFIO_PCI_ERR_IRQ_INDEX: "ERR",
    _v.VFIO_PCI_REQ_IRQ_INDEX: "REQ",
}
