# SPDX-License-Identifier: MIT
"""Machines that several tests need, and where their devices are."""

from __future__ import annotations

import dataclasses

from kvmiommu import machine
from kvmiommu.machine import Machine


def group_of(description: Machine, address: str) -> int:
    """The number of a function's IOMMU group."""
    (group,) = [each.group for each in description.pci if each.address == address]
    assert group is not None, f"{address} of {description.name} has no group"
    return group


def arm_board() -> Machine:
    """An SMMUv3 before the few functions of the RISC-V board, each alone in its group."""
    (unit,) = machine.load("virt-smmuv3").iommus
    return machine.load(
        "virt-riscv",
        name="small-arm-board",
        arch="aarch64",
        memory_start="1G",
        options={"vfio_iommu_type1.allow_unsafe_interrupts": False},
        iommus=[dataclasses.replace(unit, name="riscv-iommu0")],
    )
