# SPDX-License-Identifier: MIT
"""/dev/vfio/N as an object."""

from __future__ import annotations

import ctypes
from typing import TYPE_CHECKING

from .. import uapi
from ..arguments import u32
from ..descriptor import AnyDescriptor, Descriptor, fd_of, int_argument
from .device import Device

if TYPE_CHECKING:
    from ..process import Process

__all__ = ["Group"]

_v = uapi.vfio


class Group(Descriptor):
    """/dev/vfio/N: devices that the IOMMU cannot isolate from each other. With `noiommu` it is
    /dev/vfio/noiommu-N, the group that VFIO makes for a device without an IOMMU.

    - ENOENT: there is no such group, or none of its devices is VFIO's;
    - EACCES: the node is another user's;
    - EBUSY: it is open already;
    - EPERM: `noiommu` without CAP_SYS_RAWIO.
    """

    def __init__(self, process: Process, number: int, *, noiommu: bool = False) -> None:
        self.number = u32("number", number)
        self.noiommu = noiommu
        node = f"/dev/vfio/{'noiommu-' * bool(noiommu)}{self.number}"
        super().__init__(process, self._opened(process, node))

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

    def get_device(self, name: str, *, timeout: float | None = None) -> Device:
        """VFIO_GROUP_GET_DEVICE_FD: opens the device of that name ("0000:00:02.0").

        While another thread opens, closes or resets a device of the same bus this one sleeps:
        TimeoutError once it has slept `timeout` seconds.

        - ENODEV: the group has none of that name;
        - EINVAL: the group is in no container, or the container has no IOMMU driver;
        - EPERM: `noiommu` without CAP_SYS_RAWIO;
        - EMFILE: no descriptor is left.
        """
        request = _v.VFIO_GROUP_GET_DEVICE_FD.number(self.process.abi)
        if not isinstance(name, str):
            raise TypeError(f"name must be a str such as '0000:00:02.0', not {name!r}")
        if "\0" in name:
            raise ValueError(f"name is {name!r}: a zero byte would end it")
        block = bytearray(name.encode(errors="surrogateescape") + b"\0")
        fd = self.process.ioctl(self.fd, request, block, timeout=timeout)
        return Device(self.process, fd, name)

    def __repr__(self) -> str:
        return f"<Group {'noiommu-' * bool(self.noiommu)}{self.number}, {self._number()}>"
