# SPDX-License-Identifier: MIT
"""The sPAPR container of POWER as an object: windows of TCEs, and memory that is registered.

    with spapr.SpaprContainer(process) as container, vfio.Group(process, 1) as group:
        group.set_container(container)
        container.set_iommu()
        container.remove_window(0)  # the default one, which nobody has made yet
        start = container.create_window(page_shift=16, size=1 << 28)
        container.register_memory(address, size)
        container.map_dma(start, address, 1 << 16)

Each method is one ioctl and raises the `OSError` that the kernel answers with.
"""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from typing import NamedTuple

from . import uapi
from .vfio import Container

__all__ = ["SpaprContainer", "SpaprInfo", "Window"]

_v = uapi.vfio


@dataclass(frozen=True, slots=True)
class SpaprInfo:
    """What a group's bridge has: the default window, and what dynamic windows can be like.

    `page_sizes` in bytes; empty, like `windows` and `levels`, in version 1.
    """

    dma32_window_start: int
    dma32_window_size: int
    page_sizes: tuple[int, ...]
    windows: int
    levels: int


class Window(NamedTuple):
    """A window of a group, as the hardware has it: pages of 2**page_shift bytes from `start` on."""

    start: int
    page_shift: int
    pages: int
    levels: int


class SpaprContainer(Container):
    """/dev/vfio/vfio on POWER. Version 2 maps memory that was registered, version 1 any."""

    def set_iommu(self, type: int = _v.VFIO_SPAPR_TCE_v2_IOMMU) -> None:
        """Chooses the version. OSError: EINVAL no group yet, or chosen already; ENODEV type 1."""
        super().set_iommu(type)

    def get_spapr_info(self) -> SpaprInfo:
        """OSError ENXIO: no group."""
        info = _v.vfio_iommu_spapr_tce_info(argsz=ctypes.sizeof(_v.vfio_iommu_spapr_tce_info))
        self.ioctl(_v.VFIO_IOMMU_SPAPR_TCE_GET_INFO, info)
        sizes = int(info.ddw.pgsizes)
        return SpaprInfo(
            int(info.dma32_window_start),
            int(info.dma32_window_size),
            tuple(1 << shift for shift in range(64) if sizes >> shift & 1),
            int(info.ddw.max_dynamic_windows_supported),
            int(info.ddw.levels),
        )

    def enable(self) -> None:
        """Version 1: charges the whole default window. OSError: EBUSY; ENODEV no group; ENOMEM."""
        self.ioctl(_v.VFIO_IOMMU_ENABLE)

    def disable(self) -> None:
        """Version 1: gives the charge back. What is mapped stays so."""
        self.ioctl(_v.VFIO_IOMMU_DISABLE)

    def register_memory(self, address: int, size: int) -> None:
        """Version 2: pins and charges memory of the process, so that it can be mapped.

        OSError: EINVAL not page aligned, or meets another region; EBUSY registered here; ENOMEM
        past RLIMIT_MEMLOCK, or no bytes; EFAULT.
        """
        self.ioctl(_v.VFIO_IOMMU_SPAPR_REGISTER_MEMORY, _region(address, size))

    def unregister_memory(self, address: int, size: int) -> None:
        """OSError: ENOENT not registered here; EPERM nothing ever was; EINVAL.

        Memory that is still mapped stays pinned and charged, unless the machine has
        "spapr-unregister-while-mapped" fixed: then it is EBUSY.
        """
        self.ioctl(_v.VFIO_IOMMU_SPAPR_UNREGISTER_MEMORY, _region(address, size))

    def create_window(self, page_shift: int, size: int, levels: int = 1) -> int:
        """Version 2: makes a window of `size` bytes, and says where it starts.

        OSError: ENXIO no group; ENOSPC there are two; EINVAL page size, size or levels that the
        platform has not; ENOMEM; EPERM or ENODEV the hypervisor does not have it.
        """
        create = _v.vfio_iommu_spapr_tce_create(
            argsz=ctypes.sizeof(_v.vfio_iommu_spapr_tce_create),
            page_shift=page_shift,
            window_size=size,
            levels=levels,
        )
        self.ioctl(_v.VFIO_IOMMU_SPAPR_TCE_CREATE, create)
        return int(create.start_addr)

    def remove_window(self, start: int) -> None:
        """Version 2: unmaps all of the window with this address in it, and removes it.

        OSError EINVAL: there is none.
        """
        self.ioctl(
            _v.VFIO_IOMMU_SPAPR_TCE_REMOVE,
            _v.vfio_iommu_spapr_tce_remove(
                argsz=ctypes.sizeof(_v.vfio_iommu_spapr_tce_remove), start_addr=start
            ),
        )

    def eeh_pe_op(self, op: int) -> int:
        """One operation on the endpoint of each group: VFIO_EEH_PE_*. OSError ENODEV: no EEH."""
        size = ctypes.sizeof(_v.vfio_eeh_pe_op)
        return self.ioctl(_v.VFIO_EEH_PE_OP, _v.vfio_eeh_pe_op(argsz=size, op=op))


def _region(address: int, size: int) -> ctypes.Structure:
    return _v.vfio_iommu_spapr_register_memory(
        argsz=ctypes.sizeof(_v.vfio_iommu_spapr_register_memory), vaddr=address, size=size
    )
