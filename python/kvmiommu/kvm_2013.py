# SPDX-License-Identifier: MIT
"""What KVM on POWER was to have by the proposals of 2013, as objects.

A guest's bus is linked to an IOMMU group: its hypercalls then work on the group's own table. Three
ways to ask for that were proposed, and an idea went further; a machine has those that its
description names:

    proposals = ["spapr-tce-iommu-device"]

================================ ================================================
`spapr-tce-iommu-ioctl`          `create_spapr_tce_iommu`: a request, a descriptor
`spapr-tce-iommu-device`         `TceIommu`: a KVM device for each link
`spapr-tce-iommu-links`          `TceIommuLinks`: one KVM device for all links
`spapr-tce-devices`              `TceIommu`, and `TceDevice` for KVM's own tables
================================ ================================================

The group must be in a container of version 1. Each method is one request and raises the `OSError`
of the proposal.
"""

from __future__ import annotations

import ctypes
from typing import NamedTuple

from . import uapi
from .arguments import scratch, u32, u64
from .descriptor import AnyDescriptor, Descriptor, fd_of
from .kvm import VM, Device, TceTable

__all__ = ["Linkage", "TceDevice", "TceIommu", "TceIommuLinks", "create_spapr_tce_iommu"]

_k = uapi.kvm
_p = uapi.kvm_2013


class Linkage(NamedTuple):
    """A bus and the descriptor of the VFIO group that it was linked to; flags mean nothing."""

    liobn: int
    fd: int
    flags: int = 0


def create_spapr_tce_iommu(vm: VM, liobn: int, group: AnyDescriptor) -> Descriptor:
    """Links a bus; the link is gone with the last reference to the descriptor.

    OSError: EBUSY the bus has a table or a link; ENXIO not a group, it is in no container with an
    IOMMU driver, it has no table that can be linked; ENOTTY the machine has no such request.
    """
    create = _p.kvm_create_spapr_tce_iommu(liobn=u64("liobn", liobn), fd=_group(vm, group))
    return Descriptor(vm.process, vm.ioctl(_p.KVM_CREATE_SPAPR_TCE_IOMMU, create))


class TceIommu(Device):
    """A KVM device for one link, which is set once and goes with the device."""

    def __init__(self, vm: VM) -> None:
        """OSError ENODEV: the machine has no such devices."""
        super().__init__(vm.process, vm.create_device(_p.KVM_DEV_TYPE_SPAPR_TCE_IOMMU).fd)

    def link(self, liobn: int, group: AnyDescriptor, *, flags: int = 0) -> None:
        """OSError: EBUSY the device has a link, or the bus has one or a table; ENXIO as
        `create_spapr_tce_iommu`.
        """
        linkage = _p.kvm_create_spapr_tce_iommu_linkage(
            liobn=u64("liobn", liobn), fd=_group(self, group), flags=u32("flags", flags)
        )
        self._set_from(_p.KVM_DEV_SPAPR_TCE_IOMMU_ATTR_LINKAGE, 0, bytes(linkage))

    def linkage(self) -> Linkage:
        """What was set. OSError EFAULT: nothing was."""
        size = ctypes.sizeof(_p.kvm_create_spapr_tce_iommu_linkage)
        with scratch(self.process, size) as address:
            self.get_attr(_p.KVM_DEV_SPAPR_TCE_IOMMU_ATTR_LINKAGE, 0, address)
            found = _p.kvm_create_spapr_tce_iommu_linkage.from_buffer_copy(
                self.process.peek(address, size)
            )
        return Linkage(int(found.liobn), int(found.fd), int(found.flags))


class TceIommuLinks(Device):
    """The KVM device for all links of a virtual machine."""

    def __init__(self, vm: VM) -> None:
        """OSError: ENODEV the machine has no such devices; EEXIST the virtual machine has one."""
        super().__init__(vm.process, vm.create_device(_p.KVM_DEV_TYPE_SPAPR_TCE_IOMMU).fd)

    def link(self, liobn: int, group: AnyDescriptor) -> None:
        """OSError: EBUSY the bus has a table or a link; ENXIO as `create_spapr_tce_iommu`."""
        self._set(liobn, _group(self, group))

    def unlink(self, liobn: int) -> None:
        """OSError: EINVAL the bus has a table that is no link; ENXIO it has none."""
        self._set(liobn, 0xFFFF_FFFF)

    def _set(self, liobn: int, fd: int) -> None:
        self._set_from(_p.KVM_DEV_SPAPR_TCE_IOMMU_ATTR_LINKAGE, liobn, fd.to_bytes(4, "little"))


class TceDevice(Device):
    """A KVM device that is a table of KVM's own. It can be mapped as that can."""

    def __init__(self, vm: VM) -> None:
        """OSError ENODEV: the machine has no such devices."""
        super().__init__(vm.process, vm.create_device(_p.KVM_DEV_TYPE_SPAPR_TCE).fd)

    def create(self, liobn: int, window_size: int) -> None:
        """Makes the table, of `window_size` bytes in pages of 4 KiB.

        OSError: EBUSY the device has a table, or the bus has one or a link; EINVAL no page; ENOMEM
        past RLIMIT_MEMLOCK.
        """
        window = _k.kvm_create_spapr_tce(
            liobn=u64("liobn", liobn), window_size=u32("window_size", window_size)
        )
        self._set_from(_p.KVM_DEV_SPAPR_TCE_ATTR_WINDOW, 0, bytes(window))

    def table(self) -> TceTable:
        """The table behind the device's descriptor. OSError EINVAL: there is none yet."""
        size = ctypes.sizeof(_k.kvm_create_spapr_tce)
        with scratch(self.process, size) as address:
            self.get_attr(_p.KVM_DEV_SPAPR_TCE_ATTR_WINDOW, 0, address)
            found = _k.kvm_create_spapr_tce.from_buffer_copy(self.process.peek(address, size))
        return TceTable(
            self.process,
            self.process.dup(self.fd),
            int(found.liobn),
            page_shift=12,
            offset=0,
            size=int(found.window_size) >> 12,
        )


def _group(of: Descriptor, group: AnyDescriptor) -> int:
    """The descriptor as the proposals' structures hold it, unsigned."""
    return fd_of(of.process, "group", group) & 0xFFFF_FFFF
