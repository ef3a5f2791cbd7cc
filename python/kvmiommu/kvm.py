# SPDX-License-Identifier: MIT
"""KVM as objects: /dev/kvm, a virtual machine, the devices that KVM emulates for it.

    with kvm.Kvm(process) as module, module.create_vm() as vm:
        with vm.create_device(uapi.kvm.KVM_DEV_TYPE_VFIO) as device:
            device.add_file(group.fd)

Each method is one ioctl and raises the `OSError` that the kernel answers with.
"""

from __future__ import annotations

import os

from . import uapi
from .descriptor import Descriptor
from .process import Process

__all__ = ["VM", "Device", "Kvm"]

_k = uapi.kvm


class Kvm(Descriptor):
    """/dev/kvm."""

    def __init__(self, process: Process) -> None:
        super().__init__(process, process.open("/dev/kvm", os.O_RDWR))

    def get_api_version(self) -> int:
        return self.ioctl(_k.KVM_GET_API_VERSION)

    def check_extension(self, capability: int) -> int:
        """0: not there, or not modelled."""
        return self.ioctl(_k.KVM_CHECK_EXTENSION, capability)

    def create_vm(self, type: int = 0) -> VM:
        """A virtual machine. OSError EINVAL: a type that this machine does not have."""
        return VM(self.process, self.ioctl(_k.KVM_CREATE_VM, type))


class VM(Descriptor):
    """A virtual machine. Calls from another process than its maker's are answered with EIO."""

    def check_extension(self, capability: int) -> int:
        return self.ioctl(_k.KVM_CHECK_EXTENSION, capability)

    def set_user_memory_region(
        self, slot: int, guest_phys_addr: int, address: int, size: int, *, flags: int = 0
    ) -> None:
        """Puts memory of the process behind guest addresses; size 0 deletes the slot.

        OSError: EINVAL not page aligned, no such slot, or what must stay is changed; EEXIST meets
        another slot.
        """
        self.ioctl(
            _k.KVM_SET_USER_MEMORY_REGION,
            _k.kvm_userspace_memory_region(
                slot=slot,
                flags=flags,
                guest_phys_addr=guest_phys_addr,
                memory_size=size,
                userspace_addr=address,
            ),
        )

    def create_device(self, type: int) -> Device:
        """A device that KVM emulates.

        OSError: ENODEV no such type; EBUSY a machine has one of this kind.
        """
        create = _k.kvm_create_device(type=type)
        self.ioctl(_k.KVM_CREATE_DEVICE, create)
        return Device(self.process, int(create.fd))

    def can_create_device(self, type: int) -> bool:
        """Whether KVM knows the type: KVM_CREATE_DEVICE_TEST, which makes nothing."""
        create = _k.kvm_create_device(type=type, flags=_k.KVM_CREATE_DEVICE_TEST)
        try:
            self.ioctl(_k.KVM_CREATE_DEVICE, create)
        except OSError:
            return False
        return True


class Device(Descriptor):
    """A device of a virtual machine, driven by attributes: a group, a number, an address.

    The address is one of the process's own memory.
    """

    def has_attr(self, group: int, attr: int) -> bool:
        try:
            self.ioctl(_k.KVM_HAS_DEVICE_ATTR, _k.kvm_device_attr(group=group, attr=attr))
        except OSError:
            return False
        return True

    def set_attr(self, group: int, attr: int, address: int) -> None:
        self.ioctl(_k.KVM_SET_DEVICE_ATTR, _k.kvm_device_attr(group=group, attr=attr, addr=address))

    def get_attr(self, group: int, attr: int, address: int) -> None:
        self.ioctl(_k.KVM_GET_DEVICE_ATTR, _k.kvm_device_attr(group=group, attr=attr, addr=address))

    def add_file(self, fd: int) -> None:
        """Tells the VFIO pseudo device of a group or a device that serves the machine.

        OSError: EBADF; EINVAL not VFIO's; EEXIST the same file was added.
        """
        self._file(_k.KVM_DEV_VFIO_FILE_ADD, fd)

    def del_file(self, fd: int) -> None:
        """Takes it back. OSError: EBADF; ENOENT it was never added."""
        self._file(_k.KVM_DEV_VFIO_FILE_DEL, fd)

    def _file(self, attr: int, fd: int) -> None:
        address = self.process.mmap(4, 3, 0x22)  # private, anonymous, readable and writable
        try:
            self.process.poke(address, fd.to_bytes(4, "little", signed=True))
            self.set_attr(_k.KVM_DEV_VFIO_FILE, attr, address)
        finally:
            self.process.munmap(address, 4)
