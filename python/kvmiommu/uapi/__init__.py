"""The user interfaces that kvmiommu answers: numbers, requests and structures.

Everything has the name that the kernel gives it.

============== ====================================================================
`vfio`         ``<linux/vfio.h>``: containers, groups, devices, type 1, sPAPR, EEH
`kvm`          ``<linux/kvm.h>``: virtual machines, the KVM-VFIO device, TCE tables
`kvm_2013`     links of a guest's bus to an IOMMU group, as they were proposed in 2013
`iommufd`      ``<linux/iommufd.h>``: ``/dev/iommu``
`iommufd_test` the mock devices of a kernel that was built for iommufd's own tests
`papr`         hypercalls and return codes of a POWER guest
`posix`        flags of open(), mmap() and poll()
`ioctl`        how requests become numbers
============== ====================================================================

A program imports what it uses, as a C program includes a header::

    from kvmiommu.uapi.vfio import VFIO_IOMMU_MAP_DMA, vfio_iommu_type1_dma_map

Structures are `ctypes.Structure` classes, so they work with the real ``fcntl.ioctl`` as well. A
request is an `int`, its number on x86 and most other machines; POWER's number is
``request.number("power")``.

A number that does not fit its field is an `OverflowError` that names the field, and a name that is
no field an `AttributeError`: nothing is cut. Where a field must have the bits of a negative number,
say so as C does, by a conversion or by a mask: ``map.iova = ctypes.c_uint64(-4096)`` or
``map.iova = -4096 & 0xFFFF_FFFF_FFFF_FFFF``.

Where a name comes as text, from a transcript or a command line, `constant` finds its number::

    >>> constant("VFIO_TYPE1v2_IOMMU")
    3
    >>> hex(constant("VFIO_SET_IOMMU", abi="power"))
    '0x20003b66'
"""

import difflib
from collections.abc import Mapping
from functools import cache
from types import MappingProxyType

from . import iommufd, iommufd_test, kvm, kvm_2013, papr, posix, vfio
from .ioctl import Abi, Direction, Request, ioctl_number

__all__ = [
    "Abi",
    "Direction",
    "Request",
    "constant",
    "constants",
    "ioctl_number",
    "iommufd",
    "iommufd_test",
    "kvm",
    "kvm_2013",
    "papr",
    "posix",
    "vfio",
]


@cache
def constants(abi: Abi = "generic") -> Mapping[str, int]:
    """Return every number that has a name, requests as ``abi`` encodes them."""
    if abi not in ("generic", "power"):
        raise ValueError(f'abi is "generic" or "power", not {abi!r}')
    found: dict[str, int] = {}
    for module in (posix, vfio, kvm, kvm_2013, iommufd, iommufd_test, papr):
        for name in module.__all__:
            value = getattr(module, name)
            if isinstance(value, Request):
                found[name] = value.number(abi)
            elif isinstance(value, int):
                found[name] = value
    if abi == "power":
        found.update(posix.ON_POWER)
    return MappingProxyType(found)


def constant(name: str, abi: Abi = "generic") -> int:
    """Return the number that ``name`` stands for, on a machine whose encoding is ``abi``.

    Requests count as constants here. An unknown name is a `KeyError` that says what is alike.
    """
    known = constants(abi)
    if name not in known:
        alike = difflib.get_close_matches(name, known, n=3)
        hint = f"; did you mean {' or '.join(alike)}?" if alike else ""
        raise KeyError(f"no constant is called {name!r}{hint}")
    return known[name]
