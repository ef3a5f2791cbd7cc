# SPDX-License-Identifier: MIT
"""A user-space driver for QEMU's edu device, on VFIO.

    from edu_driver import Edu, Linux

    with Edu(Linux(), group=1, address="0000:00:02.0") as edu:
        print(edu.factorial(10))

The device must be bound to vfio-pci, and its group must be yours to open.
"""

from .calls import Calls, Linux
from .driver import DeviceError, Edu

__all__ = ["Calls", "DeviceError", "Edu", "Linux"]
