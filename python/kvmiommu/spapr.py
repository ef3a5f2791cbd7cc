# SPDX-License-Identifier: MIT
"""The sPAPR container of POWER as an object: windows of TCEs, and memory that is registered.

    with spapr.SpaprContainer(process) as container, vfio.Group(process, 1) as group:
        group.set_container(container)
        container.set_iommu()
        container.remove_window(0)  # the default one, which nobody has made yet
        start = container.create_window(page_shift=16, size=1 << 28)
        container.register_memory(address, size)
        container.map_dma(start, address, 1 << 16)

Each method is one request, named after it, and frames its arguments: what the kernel refuses is
the `OSError` of the call. A number that does not fit its field is an OverflowError. Sizes and
addresses are bytes.
"""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from typing import NamedTuple

from . import uapi
from .arguments import u32, u64
from .vfio import Container

__all__ = ["SpaprContainer", "SpaprInfo", "Window"]

_v = uapi.vfio


@dataclass(frozen=True, slots=True)
class SpaprInfo:
    """What a group's bridge has: the default window, and what dynamic windows can be like."""

    #: Where the default window begins, an iova.
    dma32_window_start: int
    #: How long it is, in bytes.
    dma32_window_size: int
    #: Page sizes of dynamic windows, in bytes; none in version 1.
    page_sizes: tuple[int, ...]
    #: How many windows there can be; 0 in version 1.
    windows: int
    #: How many levels a table can have; 0 in version 1.
    levels: int

    def __repr__(self) -> str:
        sizes = ", ".join(map(hex, self.page_sizes))
        return (
            f"SpaprInfo(dma32_window_start={self.dma32_window_start:#x}, "
            f"dma32_window_size={self.dma32_window_size:#x}, page_sizes=({sizes}), "
            f"windows={self.windows}, levels={self.levels})"
        )


class Window(NamedTuple):
    """A window of a group, as the hardware has it: pages of 2**page_shift bytes from `start` on."""

    start: int
    page_shift: int
    pages: int
    levels: int

    def __repr__(self) -> str:
        return (
            f"Window(start={self.start:#x}, page_shift={self.page_shift}, pages={self.pages:#x}, "
            f"levels={self.levels})"
        )


class SpaprContainer(Container):
    """/dev/vfio/vfio on POWER. Version 2 maps memory that was registered, version 1 any.

    `map_dma` and `unmap_dma` refuse differently from type 1:

    - EPERM: version 1 is not enabled;
    - ENXIO: the iova is in no window;
    - EINVAL: not aligned to the window's pages, past its end, or memory that is not registered.
    """

    def set_iommu(self, type: int = _v.VFIO_SPAPR_TCE_v2_IOMMU) -> None:
        """VFIO_SET_IOMMU: chooses the version.

        - EINVAL: no group yet, or a version is chosen;
        - ENODEV: type 1, which POWER does not have.
        """
        super().set_iommu(type)

    def get_spapr_info(self) -> SpaprInfo:
        """VFIO_IOMMU_SPAPR_TCE_GET_INFO.

        - EINVAL: no version is chosen;
        - ENXIO: no group.
        """
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
        """VFIO_IOMMU_ENABLE, version 1: charges the whole default window.

        - EBUSY: it is enabled;
        - ENODEV: no group;
        - EPERM: the group has no default window;
        - ENOMEM: past RLIMIT_MEMLOCK.
        """
        self.ioctl(_v.VFIO_IOMMU_ENABLE)

    def disable(self) -> None:
        """VFIO_IOMMU_DISABLE, version 1: the window is not charged any longer. What is mapped stays
        so."""
        self.ioctl(_v.VFIO_IOMMU_DISABLE)

    def register_memory(self, address: int, size: int) -> None:
        """VFIO_IOMMU_SPAPR_REGISTER_MEMORY, version 2: pins and charges memory of the process, so
        that it can be mapped.

        - EINVAL: not page aligned, or meets another region;
        - EBUSY: registered with this container;
        - ENOMEM: past RLIMIT_MEMLOCK, or no bytes;
        - EFAULT: memory that cannot be pinned.
        """
        self.ioctl(_v.VFIO_IOMMU_SPAPR_REGISTER_MEMORY, _region(address, size))

    def unregister_memory(self, address: int, size: int) -> None:
        """VFIO_IOMMU_SPAPR_UNREGISTER_MEMORY, version 2.

        Memory that is still mapped stays pinned and charged, unless the machine has
        "spapr-unregister-while-mapped" fixed.

        - EINVAL: not page aligned;
        - ENOENT: not registered with this container;
        - EPERM: nothing ever was;
        - EBUSY: it is mapped, and the bug is fixed.
        """
        self.ioctl(_v.VFIO_IOMMU_SPAPR_UNREGISTER_MEMORY, _region(address, size))

    def create_window(self, page_shift: int, size: int, levels: int = 1) -> int:
        """VFIO_IOMMU_SPAPR_TCE_CREATE, version 2: makes a window of `size` bytes in pages of
        2**page_shift bytes, and says where it starts. `size` is a power of two.

        - ENXIO: no group;
        - ENOSPC: there are two windows;
        - EINVAL: page size, size or levels that the platform has not;
        - ENOMEM: past RLIMIT_MEMLOCK, or no memory for the table;
        - EPERM, ENODEV: the hypervisor does not have it.
        """
        create = _v.vfio_iommu_spapr_tce_create(
            argsz=ctypes.sizeof(_v.vfio_iommu_spapr_tce_create),
            page_shift=u32("page_shift", page_shift),
            window_size=u64("size", size),
            levels=u32("levels", levels),
        )
        self.ioctl(_v.VFIO_IOMMU_SPAPR_TCE_CREATE, create)
        return int(create.start_addr)

    def remove_window(self, start: int) -> None:
        """VFIO_IOMMU_SPAPR_TCE_REMOVE, version 2: unmaps all of the window with this address in it,
        and removes it.

        - EINVAL: there is none.
        """
        self.ioctl(
            _v.VFIO_IOMMU_SPAPR_TCE_REMOVE,
            _v.vfio_iommu_spapr_tce_remove(
                argsz=ctypes.sizeof(_v.vfio_iommu_spapr_tce_remove),
                start_addr=u64("start", start),
            ),
        )

    def eeh_pe_op(self, op: int) -> int:
        """VFIO_EEH_PE_OP: one operation, VFIO_EEH_PE_*, on the endpoint of each group.

        - ENODEV: the platform has no error handling;
        - EINVAL: no such operation;
        - EIO: the firmware does not do it.
        """
        size = ctypes.sizeof(_v.vfio_eeh_pe_op)
        return self.ioctl(_v.VFIO_EEH_PE_OP, _v.vfio_eeh_pe_op(argsz=size, op=u32("op", op)))


def _region(address: int, size: int) -> ctypes.Structure:
    return _v.vfio_iommu_spapr_register_memory(
        argsz=ctypes.sizeof(_v.vfio_iommu_spapr_register_memory),
        vaddr=u64("address", address),
        size=u64("size", size),
    )
