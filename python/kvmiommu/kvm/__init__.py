# SPDX-License-Identifier: MIT
"""KVM as objects: /dev/kvm, a virtual machine, the devices that KVM emulates for it, its guest.

    with kvm.Kvm(process) as module, module.create_vm() as vm:
        with vm.create_device(uapi.kvm.KVM_DEV_TYPE_VFIO) as device:
            device.add_file(group)

Each method is one request, named after it, and frames its arguments: what the kernel refuses is
the `OSError` of the call. A number that does not fit its field is an OverflowError, an object of
another process a ValueError; neither reaches the kernel. Structures are those of
`kvmiommu.uapi.kvm`.
Where a descriptor is an argument, its number or the object that has it will do.
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

# Which file has a class is this package's affair: documentation and pickles find it here.
for _name in __all__:
    globals()[_name].__module__ = __name__
