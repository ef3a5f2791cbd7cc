# SPDX-License-Identifier: MIT
"""The PAMU of Freescale's embedded POWER processors: windows, and no page table.

    domain = pamu.Domain()
    domain.set_geometry(0, 1 << 30)
    domain.set_windows(4)
    domain.enable_window(1, phys=0x4000_0000, size=1 << 20)
    domain.enable_dma()
    assert domain.iova_to_phys(0x1000_1000) == 0x4000_1000

The order is the kernel's: an aperture, its windows, what they lead to, then DMA. While DMA is on,
neither the aperture nor the number of windows can change.
"""

from __future__ import annotations

from . import _core
from .iommu import READ, WRITE

__all__ = ["Domain"]


class Domain:
    """One aperture of iovas, cut into windows. Source: fsl_pamu_domain.c of Linux 5.12."""

    def __init__(self) -> None:
        self._domain = _core.PamuDomain()

    def set_geometry(self, start: int, size: int) -> None:
        """The aperture [start, start + size); the windows that there were are gone.

        OSError: EBUSY DMA is on; EINVAL no power of two from 4 KiB on, or start is no multiple.
        """
        self._domain.set_geometry(start, size)

    def set_windows(self, count: int) -> None:
        """Cuts the aperture into up to 256 windows.

        OSError: EBUSY DMA is on; EINVAL no aperture yet, no power of two, windows below 4 KiB.
        """
        self._domain.set_windows(count)

    def enable_window(self, number: int, phys: int, size: int, prot: int = READ | WRITE) -> None:
        """Has the first `size` bytes of a window lead to `phys`.

        OSError: ENODEV not cut yet; EINVAL no such window, no power of two, more than it holds, or
        phys is no multiple of size; EBUSY it is mapped, or it is the only one and DMA is on.
        """
        self._domain.enable_window(number, phys, size, prot)

    def disable_window(self, number: int) -> None:
        """OSError: ENODEV not cut yet; EINVAL no such window."""
        self._domain.disable_window(number)

    def enable_dma(self, on: bool = True) -> None:
        """Lets devices through, or no longer. OSError ENODEV: no window leads anywhere."""
        self._domain.enable_dma(on)

    def iova_to_phys(self, iova: int) -> int:
        """Where an iova leads; 0: nowhere."""
        return self._domain.iova_to_phys(iova)

    def translate(self, iova: int) -> tuple[int, int] | None:
        """What a device would reach there, an address and its rights; None: a fault."""
        return self._domain.translate(iova)
