# SPDX-License-Identifier: MIT
"""/dev/kvm and a virtual machine as objects."""

from __future__ import annotations

from errno import ENODEV
from typing import TYPE_CHECKING, overload

from .. import uapi
from ..arguments import u32, u64
from ..descriptor import Descriptor
from .device import Device
from .tce import TceState, TceTable
from .vcpu import Vcpu, enable_cap_argument

if TYPE_CHECKING:
    from ..process import Process

__all__ = ["VM", "Kvm"]

_k = uapi.kvm
_SHIFT_OF_4K = 12


class Kvm(Descriptor):
    """/dev/kvm."""

    def __init__(self, process: Process) -> None:
        super().__init__(process, self._opened(process, "/dev/kvm"))

    def get_api_version(self) -> int:
        """KVM_GET_API_VERSION: 12."""
        return self.ioctl(_k.KVM_GET_API_VERSION)

    def check_extension(self, capability: int) -> int:
        """KVM_CHECK_EXTENSION; 0: not there, or not modelled."""
        return self.ioctl(_k.KVM_CHECK_EXTENSION, u64("capability", capability))

    def get_vcpu_mmap_size(self) -> int:
        """KVM_GET_VCPU_MMAP_SIZE: how much of a vcpu's descriptor can be mapped, in bytes."""
        return self.ioctl(_k.KVM_GET_VCPU_MMAP_SIZE)

    def create_vm(self, type: int = 0) -> VM:
        """KVM_CREATE_VM.

        - EINVAL: a type that this machine does not have;
        - EMFILE: no descriptor is left.
        """
        return VM(self.process, self.ioctl(_k.KVM_CREATE_VM, u64("type", type)))


class VM(Descriptor):
    """A virtual machine. A call of another process than its maker's is EIO."""

    def check_extension(self, capability: int) -> int:
        """KVM_CHECK_EXTENSION, of the virtual machine; 0: not there, or not modelled."""
        return self.ioctl(_k.KVM_CHECK_EXTENSION, u64("capability", capability))

    def enable_cap(self, capability: int, *arguments: int) -> None:
        """KVM_ENABLE_CAP, with up to four arguments.

        - EINVAL: the capability cannot be enabled, or not with these arguments.
        """
        self.ioctl(_k.KVM_ENABLE_CAP, enable_cap_argument(capability, arguments))

    # --- memory ---

    def set_user_memory_region(
        self, slot: int, guest_phys_addr: int, address: int, size: int, *, flags: int = 0
    ) -> None:
        """KVM_SET_USER_MEMORY_REGION: puts memory of the process behind guest addresses; size 0
        deletes the slot. Addresses and sizes are bytes.

        - EINVAL: not page aligned, no such slot, or what must stay is changed;
        - EEXIST: meets another slot.
        """
        self.ioctl(
            _k.KVM_SET_USER_MEMORY_REGION,
            _k.kvm_userspace_memory_region(
                slot=u32("slot", slot),
                flags=u32("flags", flags),
                guest_phys_addr=u64("guest_phys_addr", guest_phys_addr),
                memory_size=u64("size", size),
                userspace_addr=u64("address", address),
            ),
        )

    # --- devices ---

    def create_device(self, type: int) -> Device:
        """KVM_CREATE_DEVICE: a device that KVM emulates.

        - ENODEV: no such type;
        - EBUSY: the machine has one of this kind, where it can have one only;
        - EMFILE: no descriptor is left.
        """
        create = _k.kvm_create_device(type=u32("type", type))
        self.ioctl(_k.KVM_CREATE_DEVICE, create)
        return Device(self.process, int(create.fd))

    def can_create_device(self, type: int) -> bool:
        """KVM_CREATE_DEVICE with KVM_CREATE_DEVICE_TEST: whether KVM knows the type.

        False stands for ENODEV. Other errnos are raised.
        """
        create = _k.kvm_create_device(type=u32("type", type), flags=_k.KVM_CREATE_DEVICE_TEST)
        try:
            self.ioctl(_k.KVM_CREATE_DEVICE, create)
        except OSError as error:
            if error.errno != ENODEV:
                raise
            return False
        return True

    # --- POWER ---

    def create_vcpu(self, id: int = 0) -> Vcpu:
        """KVM_CREATE_VCPU: a virtual processor, on POWER.

        - EINVAL: an id that is too large, or taken;
        - EMFILE: no descriptor is left.
        """
        return Vcpu(self.process, self.ioctl(_k.KVM_CREATE_VCPU, u64("id", id)))

    def enable_hcall(self, number: int, enable: bool = True) -> None:
        """KVM_ENABLE_CAP with KVM_CAP_PPC_ENABLE_HCALL: a hypercall is the kernel's, or user
        space's.

        - EINVAL: the kernel does not have it.
        """
        self.enable_cap(_k.KVM_CAP_PPC_ENABLE_HCALL, number, int(enable))

    @overload
    def create_spapr_tce(self, liobn: int, *, window_size: int) -> TceTable: ...
    @overload
    def create_spapr_tce(
        self, liobn: int, *, page_shift: int = 12, offset: int = 0, size: int
    ) -> TceTable: ...
    def create_spapr_tce(
        self,
        liobn: int,
        *,
        window_size: int | None = None,
        page_shift: int = _SHIFT_OF_4K,
        offset: int = 0,
        size: int | None = None,
    ) -> TceTable:
        """The TCE table of a bus, by one of the two requests that make one.

        With `window_size`, the bytes of a window of 4 KiB pages at 0, it is KVM_CREATE_SPAPR_TCE,
        whose argument is 16 bytes long. With `size` it is KVM_CREATE_SPAPR_TCE_64: `offset` and
        `size` are counted in pages of 2**page_shift bytes.

        - EBUSY: the bus has a table;
        - EINVAL: no page, a `page_shift` that is not from 12 to 34, or a window past the end;
        - ENOMEM: past RLIMIT_MEMLOCK, or more than the kernel allocates at once;
        - EMFILE: no descriptor is left.
        """
        if (window_size is None) == (size is None):
            raise TypeError("create_spapr_tce() takes window_size or size")
        if window_size is not None:
            window = _k.kvm_create_spapr_tce(
                liobn=u64("liobn", liobn), window_size=u32("window_size", window_size)
            )
            fd = self.ioctl(_k.KVM_CREATE_SPAPR_TCE, window)
            page_shift, offset, size = _SHIFT_OF_4K, 0, window_size >> _SHIFT_OF_4K
        else:
            assert size is not None
            create = _k.kvm_create_spapr_tce_64(
                liobn=u64("liobn", liobn),
                page_shift=u32("page_shift", page_shift),
                offset=u64("offset", offset),
                size=u64("size", size),
            )
            fd = self.ioctl(_k.KVM_CREATE_SPAPR_TCE_64, create)
        return TceTable(self.process, fd, liobn, page_shift=page_shift, offset=offset, size=size)

    def tce_tables(self) -> list[TceState]:
        """What the guest's buses have in their tables, by their numbers.

        The kernel shows this nowhere; it is for people, and for tests that two ways come to the
        same.
        """
        return [TceState(*state) for state in self.process._tce_tables(self.fd)]
