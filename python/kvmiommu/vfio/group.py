# SPDX-License-Identifier: MIT
"""/dev/vfio/N as an object."""

from __future__ import annotations

import ctypes
import os
from typing import TYPE_CHECKING

from .. import uapi
from ..descriptor import AnyDescriptor, Descriptor, fd_of, int_argument
from .device import Device

if TYPE_CHECKING:
    from ..process import Process

__all__ = ["Group"]

_v = uapi.vfio


class Group(Descriptor):
    """/dev/vfio/N: the devices that cannot be told apart; with `noiommu` /dev/vfio/noiommu-N, a
    group that VFIO made for a device without an IOMMU.

    - ENOENT: there is no such group, or none of its devices is VFIO's;
    - EBUSY: it is open already;
    - EPERM: `noiommu` without CAP_SYS_RAWIO.
    """

    def __init__(self, process: Process, number: int, *, noiommu: bool = False) -> None:
        self.number = number
        self.noiommu = noiommu
        name = f"/dev/vfio/noiommu-{number}" if noiommu else f"/dev/vfio/{number}"
        super().__init__(process, process.open(name, os.O_RDWR))

    def get_status(self) -> int:
        """VFIO_GROUP_GET_STATUS: VFIO_GROUP_FLAGS_VIABLE and VFIO_GROUP_FLAGS_CONTAINER_SET."""
        status = _v.vfio_group_status(argsz=ctypes.sizeof(_v.vfio_group_status))
        self.ioctl(_v.VFIO_GROUP_GET_STATUS, status)
        return int(status.flags)

    def set_container(self, container: AnyDescriptor) -> None:
        """VFIO_GROUP_SET_CONTAINER: joins a container.

        - EINVAL: it is in one already;
        - EBADF: no such descriptor;
        - EBADFD: the descriptor is no container;
        - EPERM: not viable, groups with and without an IOMMU would mix, or `noiommu` without
          CAP_SYS_RAWIO;
        - what the container's IOMMU driver returns.
        """
        fd = fd_of(self.process, "container", container)
        self.ioctl(_v.VFIO_GROUP_SET_CONTAINER, int_argument(fd))

    def unset_container(self) -> None:
        """VFIO_GROUP_UNSET_CONTAINER: leaves the container.

        - EINVAL: it is in none;
        - EBUSY: one of its devices is open.
        """
        self.ioctl(_v.VFIO_GROUP_UNSET_CONTAINER)

    def get_device(self, name: str) -> Device:
        """VFIO_GROUP_GET_DEVICE_FD: opens the device of that name ("0000:00:02.0").

        - ENODEV: the group has none of that name;
        - EINVAL: the group is in no container, or the container has no IOMMU driver;
        - EPERM: `noiommu` without CAP_SYS_RAWIO;
        - EMFILE: no descriptor is left.
        """
        fd = self.ioctl(_v.VFIO_GROUP_GET_DEVICE_FD, bytearray(name.encode() + b"\0"))
        return Device(self.process, fd)
