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

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from . import iommu, kvm, machine, pamu, pci, semantics, spapr, uapi, vfio, vmm
    from .errors import LeakError, MemoryFault, Refusal
    from .process import Process
    from .system import DmaFault, IotlbFigures, StaleUse, System, TraceRecord

    __version__: str

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

#: Where the names that are no modules stand. All are imported when they are first used: the pytest
#: plugin is loaded by every run of pytest, most of which need no machine.
_HOMES = {
    "DmaFault": "system",
    "IotlbFigures": "system",
    "LeakError": "errors",
    "MemoryFault": "errors",
    "Refusal": "errors",
    "Process": "process",
    "StaleUse": "system",
    "System": "system",
    "TraceRecord": "system",
}

if not TYPE_CHECKING:  # a type checker would take it for a promise of any name

    def __getattr__(name: str) -> object:
        from importlib import import_module  # noqa: PLC0415 - see above

        value: object
        if name == "__version__":
            from importlib.metadata import version  # noqa: PLC0415 - see above

            value = version("kvmiommu")
        elif name in _HOMES:
            value = getattr(import_module(f".{_HOMES[name]}", __name__), name)
        elif name in __all__:
            value = import_module(f".{name}", __name__)
        else:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        globals()[name] = value
        return value

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})
