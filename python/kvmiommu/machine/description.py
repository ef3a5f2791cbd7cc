# SPDX-License-Identifier: MIT
"""A machine as data."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from kvmiommu.uapi import Abi

from .known import DEFAULT_INTERFACES, DEFAULT_KERNEL, FIXED_SINCE, MEMORY_START, OPTIONS
from .sizes import count_text, size_text

__all__ = ["EmulatedDevice", "Iommu", "Machine", "Modules", "PciFunction", "Reserved"]


@dataclass(frozen=True, slots=True)
class Modules:
    """The kernel modules that are loaded."""

    vfio: bool = True
    kvm: bool = True


@dataclass(frozen=True, slots=True)
class Reserved:
    """A reserved region of an IOMMU or of a PCI function, [start, last].

    The types are those of the kernel's `reserved_regions`: VFIO cannot have a device with a region
    of type "direct", which the firmware relies on.
    """

    start: int
    last: int
    type: str


@dataclass(frozen=True, slots=True)
class Iommu:
    """One IOMMU. `page_sizes` in bytes, ascending; `address_width` in bits of the IOVA.

    `dirty_tracking` says whether it marks pages that devices write to, `stage` which stage of
    translation an SMMU has. On POWER `window_size` is that of the default window, in bytes,
    `table_levels` how many levels a table can have, `eeh` whether errors of endpoints are handled.
    """

    name: str
    driver: str
    address_width: int
    page_sizes: tuple[int, ...]
    enforce_cache_coherency: bool = False
    isolated_msi: bool = False
    dirty_tracking: bool = False
    stage: int = 1
    window_size: int = 0
    table_levels: int = 1
    eeh: bool = False
    reserved: tuple[Reserved, ...] = ()

    @property
    def pgsize_bitmap(self) -> int:
        """The page sizes, each as its own bit."""
        return sum(self.page_sizes)


@dataclass(frozen=True, slots=True)
class PciFunction:
    """One PCI function. `vfio` is N of /dev/vfio/devices/vfioN, None unless vfio-pci drives it.

    `bars` are the bus addresses of its regions, in their order; those left out are chosen.
    `interrupt_line` is what its register of that name holds, 0 to 255; None is firmware's 11, or 0
    without firmware.
    `reserved` are regions of the function alone, beside those of its IOMMU.
    """

    address: str
    model: str
    driver: str = ""
    iommu: str | None = None
    group: int | None = None
    vfio: int | None = None
    bars: tuple[int, ...] = ()
    interrupt_line: int | None = None
    reserved: tuple[Reserved, ...] = ()


@dataclass(frozen=True, slots=True)
class EmulatedDevice:
    """A device without an IOMMU, as mediated devices are: its driver pins the pages that it uses.

    It has an IOMMU group of its own; `name` is what VFIO_GROUP_GET_DEVICE_FD takes.
    """

    name: str
    group: int


@dataclass(frozen=True, slots=True, repr=False)
class Machine:
    """A machine. Sizes in bytes; `fragmentation` is None or the longest contiguous block.

    `firmware` says whether firmware has set up the PCI functions before the kernel started.
    """

    name: str
    arch: str
    abi: Abi
    page_size: int
    memory: int
    memory_start: int = MEMORY_START
    kernel: str = DEFAULT_KERNEL
    interfaces: str = DEFAULT_INTERFACES
    firmware: bool = True
    proposals: tuple[str, ...] = ()
    fixed: tuple[str, ...] = ()
    semantics: str = "domain"
    attach_after_map: str = "refuse"
    fragmentation: int | None = None
    modules: Modules = Modules()
    options: Mapping[str, int | bool] = field(default_factory=lambda: dict(OPTIONS), hash=False)
    iommus: tuple[Iommu, ...] = ()
    pci: tuple[PciFunction, ...] = ()
    emulated: tuple[EmulatedDevice, ...] = ()

    def does_without(self) -> tuple[str, ...]:
        """The bugs of the real kernel that this machine's does not have."""
        release = tuple(int(part) for part in re.findall(r"[0-9]+", self.kernel))
        mended = (bug for bug, since in FIXED_SINCE.items() if release >= since)
        return tuple(dict.fromkeys((*self.fixed, *mended)))

    def groups(self) -> dict[int, tuple[PciFunction, ...]]:
        """The IOMMU groups by number, each with its functions in the order of the description."""
        groups: dict[int, tuple[PciFunction, ...]] = {}
        for function in self.pci:
            if function.group is not None:
                groups[function.group] = (*groups.get(function.group, ()), function)
        return dict(sorted(groups.items()))

    def text(self) -> str:
        """The description as TOML, every key written out; `parse` reads it back."""
        from .writing import text_of  # noqa: PLC0415 - it writes what is defined here

        return text_of(self)

    def __repr__(self) -> str:
        return (
            f"<Machine {self.name}: {self.arch}, {size_text(self.page_size)} pages, "
            f"{size_text(self.memory)} of memory, Linux {self.kernel}, "
            f"{count_text(len(self.iommus), 'IOMMU')}, {count_text(len(self.pci), 'PCI function')} "
            f"in {count_text(len(self.groups()), 'group')}>"
        )
