# SPDX-License-Identifier: MIT
"""A device that KVM emulates, as an object; the VFIO pseudo device above all."""

from __future__ import annotations

from errno import ENXIO, EPERM

from .. import uapi
from ..arguments import scratch, u32, u64
from ..descriptor import AnyDescriptor, Descriptor, fd_of

__all__ = ["Device"]

_k = uapi.kvm


class Device(Descriptor):
    """A device of a virtual machine, driven by attributes: a group, a number, an address.

    The address is one of the process's own memory.
    """

    def has_attr(self, group: int, attr: int) -> bool:
        """KVM_HAS_DEVICE_ATTR: whether the device has the attribute.

        False stands for ENXIO, and for the EPERM of a device without attributes. Other errnos are
        raised.
        """
        try:
            self.ioctl(_k.KVM_HAS_DEVICE_ATTR, _attribute(group, attr, 0))
        except OSError as error:
            if error.errno not in (ENXIO, EPERM):
                raise
            return False
        return True

    def set_attr(self, group: int, attr: int, address: int) -> None:
        """KVM_SET_DEVICE_ATTR.

        - ENXIO: the device has no such attribute;
        - what the attribute returns.
        """
        self.ioctl(_k.KVM_SET_DEVICE_ATTR, _attribute(group, attr, address))

    def get_attr(self, group: int, attr: int, address: int) -> None:
        """KVM_GET_DEVICE_ATTR: the attribute is written to `address`. OSError: as `set_attr`."""
        self.ioctl(_k.KVM_GET_DEVICE_ATTR, _attribute(group, attr, address))

    def add_file(self, file: AnyDescriptor) -> None:
        """KVM_DEV_VFIO_FILE_ADD: tells the pseudo device of a group or a device of VFIO that serves
        the machine.

        - EBADF: no such descriptor;
        - EINVAL: it is not VFIO's;
        - EEXIST: the same file was added.
        """
        self._file(_k.KVM_DEV_VFIO_FILE_ADD, file)

    def del_file(self, file: AnyDescriptor) -> None:
        """KVM_DEV_VFIO_FILE_DEL: takes a file back.

        - EBADF: no such descriptor;
        - ENOENT: it was never added.
        """
        self._file(_k.KVM_DEV_VFIO_FILE_DEL, file)

    def set_spapr_tce(self, group: AnyDescriptor, table: AnyDescriptor) -> None:
        """KVM_DEV_VFIO_GROUP_SET_SPAPR_TCE: puts the group's hardware table that fits behind a
        guest's table, on POWER.

        - EBADF: no such descriptor;
        - ENOENT: the group was never added;
        - EINVAL: no window of the group fits.
        """
        both = _k.kvm_vfio_spapr_tce(
            groupfd=fd_of(self.process, "group", group), tablefd=fd_of(self.process, "table", table)
        )
        self._set_from(_k.KVM_DEV_VFIO_FILE, _k.KVM_DEV_VFIO_GROUP_SET_SPAPR_TCE, bytes(both))

    def _file(self, attr: int, file: AnyDescriptor) -> None:
        fd = fd_of(self.process, "file", file)
        self._set_from(_k.KVM_DEV_VFIO_FILE, attr, fd.to_bytes(4, "little", signed=True))

    def _set_from(self, group: int, attr: int, data: bytes) -> None:
        with scratch(self.process, len(data), data) as address:
            self.set_attr(group, attr, address)


def _attribute(group: int, attr: int, address: int) -> _k.kvm_device_attr:
    return _k.kvm_device_attr(
        group=u32("group", group), attr=u64("attr", attr), addr=u64("address", address)
    )
