# SPDX-License-Identifier: MIT
"""VFIO as objects: a container, its groups, their devices, what a device has.

    with vfio.Container(process) as container, vfio.Group(process, 1) as group:
        group.set_container(container)
        container.set_iommu()
        container.map_dma(iova=0x100000, address=buffer, size=0x10000)
        with group.get_device("0000:00:02.0") as device:
            device.msi.set_eventfds([process.eventfd()])

Each method is one request, named after it, and frames its arguments: what the kernel refuses is
the `OSError` of the call. A number that does not fit its field is an OverflowError, an object of
another process a ValueError; neither reaches the kernel. Structures are those of
`kvmiommu.uapi.vfio`.
Sizes, offsets and addresses are bytes; ranges include their last byte. Where a descriptor is an
argument, its number or the object that has it will do.
"""

from __future__ import annotations

from .bitmap import Bitmap
from .container import Container, IommuInfo
from .device import Device
from .group import Group
from .hot_reset import DependentDevice, HotResetInfo
from .iova_range import IovaRange
from .irq import Irq
from .region import Area, Mapping, MsixMappable, OtherCapability, Region, RegionType, SparseMmap

__all__ = [
    "Area",
    "Bitmap",
    "Container",
    "DependentDevice",
    "Device",
    "Group",
    "HotResetInfo",
    "IommuInfo",
    "IovaRange",
    "Irq",
    "Mapping",
    "MsixMappable",
    "OtherCapability",
    "Region",
    "RegionType",
    "SparseMmap",
]

# Which file has a class is this package's affair: documentation and pickles find it here.
for _name in __all__:
    globals()[_name].__module__ = __name__
