# SPDX-License-Identifier: MIT
"""Machine descriptions: what an emulated system is made of.

A description is a TOML file, `machines/NAME.toml` for those that come with the package. `load`
reads and checks one; what it returns is data alone, and the core builds the machine from it.

A description that is wrong is a `MachineError` that holds every mistake, each with its file, line
and key, what was found there and what was expected.
"""

from __future__ import annotations

from .description import EmulatedDevice, Iommu, Machine, Modules, PciFunction, Reserved
from .known import ATTACH_AFTER_MAP, IOMMU_DRIVERS, SEMANTICS
from .loading import Changes, check, load, names, parse
from .mistakes import MachineError, Mistake

__all__ = [
    "ATTACH_AFTER_MAP",
    "IOMMU_DRIVERS",
    "SEMANTICS",
    "Changes",
    "EmulatedDevice",
    "Iommu",
    "Machine",
    "MachineError",
    "Mistake",
    "Modules",
    "PciFunction",
    "Reserved",
    "check",
    "load",
    "names",
    "parse",
]
