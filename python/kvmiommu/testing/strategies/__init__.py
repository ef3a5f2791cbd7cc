# SPDX-License-Identifier: MIT
"""Hypothesis strategies for VFIO, IOMMU and KVM code.

What they draw shrinks to something that a person can read: an iova is a page index and not a random
64-bit number, places where something changes (a larger page begins, a reserved region, the end)
come up often, a program shrinks to few calls on small ranges near the start, a machine to
"q35-intel" as it comes, an order of calls to the usual one.

    @given(map_programs())
    def test_my_vmm(program):
        for call in program:
            ...
"""

from __future__ import annotations

from ._failures import fail_nth
from ._iovas import IovaRange, MapCall, UnmapCall, iova_ranges, iovas, map_programs
from ._machines import machines
from ._orders import DeviceStep, Opened, device_orders
from ._tces import TceCall, tce_calls, tce_programs

__all__ = [
    "DeviceStep",
    "IovaRange",
    "MapCall",
    "Opened",
    "TceCall",
    "UnmapCall",
    "device_orders",
    "fail_nth",
    "iova_ranges",
    "iovas",
    "machines",
    "map_programs",
    "tce_calls",
    "tce_programs",
]
