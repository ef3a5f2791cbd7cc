# SPDX-License-Identifier: MIT
"""What may stand in a description: names, ranges and what each architecture and driver has.

Where the core refuses a value (csrc/machine/system.cpp, csrc/mm/physical_memory.cpp), the rule
here is the same or narrower, so that a description that passes is one that can be built.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from kvmiommu.uapi import Abi

from .sizes import size_text

#: Architectures and the page sizes their kernels are built with, in bytes.
PAGE_SIZES: Mapping[str, tuple[int, ...]] = {
    "x86_64": (4096,),
    "ppc64le": (4096, 65536),
    "aarch64": (4096, 16384, 65536),
    "riscv64": (4096,),
}
#: How an architecture encodes ioctl requests.
ABIS: Mapping[str, Abi] = {
    "x86_64": "generic",
    "ppc64le": "power",
    "aarch64": "generic",
    "riscv64": "generic",
}
#: The releases that were recorded on an architecture, by their interfaces; the default last.
KERNELS: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "x86_64": {"6.12": ("6.12.117",), "7.2": ("7.2.13",)},
    "ppc64le": {"6.12": ("6.12.107", "6.12.117")},
    "aarch64": {"6.12": ("6.12.117",), "7.2": ("7.2.13",)},
    "riscv64": {"6.12": ("6.12.117",)},
}
DEFAULT_INTERFACES, DEFAULT_KERNEL = "6.12", "6.12.117"

#: What a domain may span: docs/explanation/semantics.md. In the core's order.
SEMANTICS = ("operations", "domain", "common", "tables", "instance", "legacy", "device")
#: What becomes of a device that is attached late and lacks page sizes in use. In the core's order.
ATTACH_AFTER_MAP = ("refuse", "rebuild", "second-table")

#: What was proposed and never merged: docs/explanation/proposals-of-2013.md.
PROPOSALS = (
    "spapr-tce-iommu-ioctl",
    "spapr-tce-iommu-device",
    "spapr-tce-iommu-links",
    "spapr-tce-devices",
)
#: Proposals that use one number for different devices.
EITHER_PROPOSAL = {
    "spapr-tce-iommu-links": ("spapr-tce-iommu-device", "spapr-tce-devices"),
}

#: Bugs of the real kernel that can be left out: docs/reference/kernel-bugs.md.
FIXED = (
    "type1-dirty-stale-bits",
    "type1-unmap-to-the-last-byte",
    "spapr-check-answers-one",
    "spapr-unregister-while-mapped",
    "spapr-failed-window-stays-charged",
    "spapr-removed-window-stays-attached",
    "spapr-indirect-maps-without-rights",
    "spapr-only-first-page-checked",
    "spapr-real-mode-forgets-pages",
    "spapr-links-pin-for-reading",
)
#: Bugs that a release has fixed: it, and every later one.
FIXED_SINCE: Mapping[str, tuple[int, ...]] = {
    "type1-unmap-to-the-last-byte": (7, 2),
    "spapr-only-first-page-checked": (6, 12, 117),
}

# -- IOMMUs ----------------------------------------------------------------------------------------

#: The IOMMU drivers.
IOMMU_DRIVERS = ("intel", "amd", "virtio", "smmu_v3", "riscv", "powernv", "pseries")
#: Those that an architecture has.
DRIVERS: Mapping[str, tuple[str, ...]] = {
    "x86_64": ("intel", "amd", "virtio"),
    "ppc64le": ("powernv", "pseries"),
    "aarch64": ("smmu_v3", "virtio"),
    "riscv64": ("riscv", "virtio"),
}
#: Those of POWER, which keep windows and not page tables.
WINDOWS = ("powernv", "pseries")
#: Those that can mark pages which devices write to.
TRACK_DIRTY = ("intel", "amd", "smmu_v3")
#: Those behind which an interrupt of a device reaches nobody else, unless a description says
#: otherwise: VT-d and AMD-Vi remap interrupts, and beside an SMMUv3 there is a GIC with an ITS.
ISOLATE_MSI = ("intel", "amd", "smmu_v3")
#: Whether all DMA can be made to snoop the caches; None where the IOMMU's registers say so.
COHERENCY: Mapping[str, bool | None] = {
    "intel": None,
    "amd": True,
    "virtio": False,
    "smmu_v3": False,
    "riscv": False,
    "powernv": False,
    "pseries": False,
}
#: Widths of an iova that the driver has tables for, where not every width will do.
WIDTHS: Mapping[str, range | tuple[int, ...]] = {
    "intel": (39, 48, 57),
    "smmu_v3": range(32, 53),
    "riscv": (39, 48, 57),
    "powernv": (64,),
    "pseries": (64,),
}


def _powers(first: int, last: int, *without: int) -> tuple[int, ...]:
    return tuple(1 << shift for shift in range(first, last + 1) if shift not in without)


_TCE_PAGES = (4 << 10, 64 << 10, 2 << 20, 16 << 20, 1 << 30)
#: Page sizes that the driver's tables have a level for, in bytes.
TABLE_PAGES: Mapping[str, tuple[int, ...]] = {
    "intel": (4 << 10, 2 << 20, 1 << 30),
    "amd": _powers(12, 51, 39),
    "virtio": _powers(12, 63),  # it has no tables
    "smmu_v3": (4 << 10, 16 << 10, 64 << 10, 2 << 20, 32 << 20, 512 << 20, 1 << 30),
    "riscv": (4 << 10, 2 << 20, 1 << 30, 512 << 30),
    "powernv": _TCE_PAGES,
    "pseries": _TCE_PAGES,
}
#: Of an SMMU: the page sizes that a granule's tables have, the granule first.
GRANULES: Mapping[int, tuple[int, ...]] = {
    4 << 10: (4 << 10, 2 << 20, 1 << 30),
    16 << 10: (16 << 10, 32 << 20),
    64 << 10: (64 << 10, 512 << 20),
}
SMALLEST_WINDOW, LARGEST_WINDOW = 64 << 10, 2 << 30
RESERVED_TYPES = ("direct", "direct-relaxable", "reserved", "msi", "sw-msi")


def granule(page_sizes: tuple[int, ...], page_size: int) -> int:
    """The granule that Linux picks for an SMMU's tables, one of the sizes, in bytes.

    The kernel's page if the SMMU has it, else the next smaller size, else the next larger one
    (drivers/iommu/io-pgtable-arm.c: arm_lpae_restrict_pgsizes).
    """
    if page_size in page_sizes:
        return page_size
    smaller = [size for size in page_sizes if size < page_size]
    return max(smaller) if smaller else min(page_sizes)


def levels_wanted(driver: str, page_sizes: tuple[int, ...]) -> str | None:
    """What must stand instead of page sizes that a driver's tables have no level for, or None."""
    if set(page_sizes) <= set(TABLE_PAGES[driver]):
        return None
    some = ", ".join(f"'{size_text(size)}'" for size in TABLE_PAGES[driver])
    return f"page sizes of {driver}: {some}"


def granule_wanted(driver: str, page_sizes: tuple[int, ...], page_size: int) -> str | None:
    """The same for an SMMU whose tables would have no granule, under a kernel's page size."""
    if driver != "smmu_v3" or granule(page_sizes, page_size) in GRANULES:
        return None
    picked = size_text(granule(page_sizes, page_size))
    return (
        "one of '4K', '16K', '64K' too, the granules of its tables: the kernel would pick "
        f"'{picked}'"
    )


# -- PCI functions ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Bar:
    """A region of a model: bytes, a power of two, and the bits that its register has."""

    bytes: int
    bits: int = 32


#: The models, and the regions of each in their order.
MODELS: Mapping[str, tuple[Bar, ...]] = {
    "edu": (Bar(1 << 20),),
    "pci-testdev": (Bar(4 << 10), Bar(256)),
    "e1000e": (Bar(128 << 10), Bar(128 << 10), Bar(32), Bar(16 << 10)),
    "nec-usb-xhci": (Bar(16 << 10, 64),),
    "host": (),
}
#: Those with an interrupt pin.
INTERRUPT_PINS = ("edu", "e1000e", "nec-usb-xhci")
VFIO_PCI = "vfio-pci"

# -- the rest --------------------------------------------------------------------------------------

MOST_MEMORY = 32 << 30
#: RAM comes in whole blocks of this size, whatever the page size.
MEMORY_BLOCK = 64 << 10
MEMORY_START, LAST_MEMORY_START, MEMORY_START_BLOCK = 4 << 30, 8 << 40, 1 << 30

NOIOMMU = "vfio.enable_unsafe_noiommu_mode"
#: Parameters of the kernel and its modules, under their names, with their defaults.
OPTIONS: Mapping[str, int | bool] = {
    "vfio_iommu_type1.dma_entry_limit": 65535,
    "vfio_iommu_type1.disable_hugepages": False,
    "vfio_iommu_type1.allow_unsafe_interrupts": False,
    NOIOMMU: False,
    "iommu.strict": True,
}
