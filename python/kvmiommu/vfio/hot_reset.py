# SPDX-License-Identifier: MIT
"""Which functions a reset of a device's bus takes along: VFIO_DEVICE_GET_PCI_HOT_RESET_INFO."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

__all__ = ["DependentDevice", "HotResetInfo"]


class DependentDevice(NamedTuple):
    """A function that the reset takes along: `struct vfio_pci_dependent_device`."""

    #: The IOMMU group that it is in.
    group: int
    segment: int
    bus: int
    #: Slot and function: the slot times 8, and the function.
    devfn: int

    @property
    def name(self) -> str:
        """As `Group.get_device` takes it: "0000:02:01.0"."""
        return f"{self.segment:04x}:{self.bus:02x}:{self.devfn >> 3:02x}.{self.devfn & 7:x}"


@dataclass(frozen=True, slots=True)
class HotResetInfo:
    """The functions that a hot reset takes along, the device's own among them."""

    #: VFIO_PCI_HOT_RESET_FLAG_*; 0 for a device that was opened by its group.
    flags: int
    devices: tuple[DependentDevice, ...]

    @property
    def groups(self) -> frozenset[int]:
        """The numbers of the groups that `Device.hot_reset` wants to be given."""
        return frozenset(device.group for device in self.devices)
