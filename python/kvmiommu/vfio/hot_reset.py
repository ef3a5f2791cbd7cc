# SPDX-License-Identifier: MIT
"""Which functions a reset of a device's bus resets: VFIO_DEVICE_GET_PCI_HOT_RESET_INFO."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from .._shown import Hex, shown

__all__ = ["DependentDevice", "HotResetInfo"]


@shown
class DependentDevice(NamedTuple):
    """A function that a hot reset resets: `struct vfio_pci_dependent_device`."""

    #: The IOMMU group that it is in.
    group: int
    segment: Hex
    bus: Hex
    #: Slot and function: the slot times 8, and the function.
    devfn: Hex

    @property
    def name(self) -> str:
        """As `Group.get_device` takes it: "0000:02:01.0"."""
        return f"{self.segment:04x}:{self.bus:02x}:{self.devfn >> 3:02x}.{self.devfn & 7:x}"


@shown
@dataclass(frozen=True, slots=True, repr=False)
class HotResetInfo:
    """The functions that a hot reset resets, the device's own among them."""

    #: VFIO_PCI_HOT_RESET_FLAG_*; 0 for a device that was opened by its group.
    flags: Hex
    #: In the order of the bus.
    devices: tuple[DependentDevice, ...]

    @property
    def groups(self) -> frozenset[int]:
        """The numbers of the groups that `Device.hot_reset` needs."""
        return frozenset(device.group for device in self.devices)
