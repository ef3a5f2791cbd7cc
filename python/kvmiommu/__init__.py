# SPDX-License-Identifier: MIT
"""A small Linux kernel in user space that answers KVM, VFIO and IOMMU calls as the real one does.

    import os
    from kvmiommu import System, uapi

    with System("q35-intel") as system:
        process = system.process()
        container = process.open("/dev/vfio/vfio", os.O_RDWR)
        process.ioctl(container, uapi.vfio.VFIO_GET_API_VERSION)

`System` is a machine, `Process` a process on it whose methods are system calls, `uapi` the numbers
and structs of Linux's headers, `machine` the descriptions of machines. `vfio` and `kvm` are thin
objects over the calls, `iommu` page tables without a machine. `kvmiommu.testing` has a pytest
plugin and Hypothesis strategies.
"""

from __future__ import annotations

from importlib.metadata import version as _version

from . import iommu, kvm, machine, pamu, pci, semantics, spapr, uapi, vfio, vmm
from .errors import LeakError, MemoryFault, Refusal
from .process import Process
from .system import DmaFault, IotlbFigures, StaleUse, System, TraceRecord

__all__ = [
    "DmaFault",
    "IotlbFigures",
    "LeakError",
    "MemoryFault",
    "Process",
    "Refusal",
    "StaleUse",
    "System",
    "TraceRecord",
    "__version__",
    "iommu",
    "kvm",
    "machine",
    "pamu",
    "pci",
    "semantics",
    "spapr",
    "uapi",
    "vfio",
    "vmm",
]

__version__ = _version("kvmiommu")
