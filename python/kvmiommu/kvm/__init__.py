# SPDX-License-Identifier: MIT
"""KVM as objects: /dev/kvm, a virtual machine, the devices that KVM emulates for it, its guest.

    with kvm.Kvm(process) as module, module.create_vm() as vm:
        with vm.create_device(uapi.kvm.KVM_DEV_TYPE_VFIO) as device:
            device.add_file(group)

Each method is one request, named after it, and frames its arguments. What the kernel refuses is the
`OSError` of the call; docstrings list the errnos, a line each. A number that does not fit its field
is an OverflowError, an object of another process a ValueError; neither reaches the kernel.

Where a descriptor is an argument, either its number or the object that has it will do. Structures
are those of `kvmiommu.uapi.kvm`.
"""

from __future__ import annotations

from .device import Device
from .guest import Guest, Hypercall
from .tce import TceState, TceTable
from .vcpu import HypercallAnswer, HypercallFigures, Vcpu
from .vm import VM, Kvm

__all__ = [
    "VM",
    "Device",
    "Guest",
    "Hypercall",
    "HypercallAnswer",
    "HypercallFigures",
    "Kvm",
    "TceState",
    "TceTable",
    "Vcpu",
]
