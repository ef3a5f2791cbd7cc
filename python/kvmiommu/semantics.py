# SPDX-License-Identifier: MIT
"""What a domain may span: the argument of April 2015, to be played through.

    from kvmiommu import iommu, semantics

    board = semantics.Board("common", attach_after_map="rebuild")
    board.iommu("smmu0", driver="smmu_v3", pgsize_bitmap=iommu.pages("4K", "2M"))
    board.iommu("smmu1", driver="smmu_v3", pgsize_bitmap=iommu.pages("4K"))
    disk, nic = board.device("disk", "smmu0"), board.device("nic", "smmu1")

    domain = board.domain(disk)
    domain.attach(disk)
    domain.map(0, 1 << 32, 2 << 20)
    domain.attach(nic)
    print(domain.tables, hex(domain.pgsize_bitmap))

A machine has the same setting: the keys `semantics` and `attach_after_map` of its description.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

from . import _core
from .iommu import READ, WRITE
from .machine import ATTACH_AFTER_MAP, IOMMU_DRIVERS, SEMANTICS
from .machine.known import granule_wanted, levels_wanted

__all__ = ["AttachAfterMap", "Board", "Device", "Domain", "IommuDriver", "Semantics"]

Semantics: TypeAlias = Literal[
    "operations", "domain", "common", "tables", "instance", "legacy", "device"
]
AttachAfterMap: TypeAlias = Literal["refuse", "rebuild", "second-table"]
IommuDriver: TypeAlias = Literal["intel", "amd", "virtio", "smmu_v3", "riscv", "powernv", "pseries"]

#: Of the kernel that the board's IOMMUs run under, in bytes.
_PAGE = 4096


class Board:
    """IOMMUs, devices behind them and domains, under one of `machine.SEMANTICS`.

    `attach_after_map`, one of `machine.ATTACH_AFTER_MAP`, is what becomes of a device that comes
    late and whose IOMMU lacks page sizes in use, where the semantics leave that open.
    """

    def __init__(
        self, semantics: Semantics = "domain", attach_after_map: AttachAfterMap = "refuse"
    ) -> None:
        for name, value, known in (
            ("semantics", semantics, SEMANTICS),
            ("attach_after_map", attach_after_map, ATTACH_AFTER_MAP),
        ):
            if value not in known:
                raise ValueError(f"{name} {value!r}: must be one of {', '.join(known)}")
        self.semantics = semantics
        self.attach_after_map = attach_after_map
        self._board = _core.IommuBoard(
            SEMANTICS.index(semantics), ATTACH_AFTER_MAP.index(attach_after_map)
        )

    def iommu(self, name: str, *, driver: IommuDriver, pgsize_bitmap: int, bits: int = 48) -> None:
        """Puts an IOMMU on the board.

        `pgsize_bitmap` is a sum of page sizes that the driver's tables have a level for, `bits` the
        width of its iovas, from 32 to 64. An IOMMU that comes after domains takes page sizes from
        those under `operations`. ValueError: what a machine's description refuses as well. EEXIST:
        there is one of that name.
        """
        if driver not in IOMMU_DRIVERS:
            raise ValueError(f"driver {driver!r}: must be one of {', '.join(IOMMU_DRIVERS)}")
        if not 32 <= bits <= 64:
            raise ValueError(f"bits {bits}: must be from 32 to 64")
        if pgsize_bitmap <= 0 or pgsize_bitmap & 0xFFF or pgsize_bitmap >> bits:
            raise ValueError(
                f"pgsize_bitmap {pgsize_bitmap:#x}: must be page sizes from 4 KiB to {bits} bits"
            )
        sizes = tuple(1 << bit for bit in range(bits) if pgsize_bitmap >> bit & 1)
        wanted = levels_wanted(driver, sizes) or granule_wanted(driver, sizes, _PAGE)
        if wanted is not None:
            raise ValueError(f"pgsize_bitmap {pgsize_bitmap:#x}: must be {wanted}")
        self._board.add_iommu(name=name, driver=driver, bits=bits, pgsize_bitmap=pgsize_bitmap)

    def fail_nth(self, nth: int) -> None:
        """Makes the `nth` allocation from now on fail, 1 being the next; 0: none fails.

        An attach or a map is ENOMEM then and changes nothing; an unmap ends before the page that it
        would have split.
        """
        self._board.fail_nth(nth)

    def device(self, name: str, iommu: str) -> Device:
        """A device behind the IOMMU of that name. ENOENT: there is none."""
        return Device(name, self._board.add_device(name, iommu))

    def domain(self, device: Device) -> Domain:
        """A domain that suits a device, which is not attached yet."""
        return Domain(_core.BoardDomain(device._device))


class Device:
    """A device. What is mapped through it is mapped for it alone: no domain is named.

    That was one of the proposals: iommu_map(dev, …). Use it on a board of the semantics "device".
    """

    def __init__(self, name: str, device: _core.BoardDevice) -> None:
        self.name = name
        self._device = device

    def __repr__(self) -> str:
        return f"<Device {self.name}>"

    def map(self, iova: int, phys: int, size: int, prot: int = READ | WRITE) -> None:
        """Maps `size` bytes; errors are those of `Domain.map()`."""
        self._device.map(iova, phys, size, prot)

    def unmap(self, iova: int, phys: int, size: int) -> int:
        """Unmaps what leads to `phys`: the bytes that went. EINVAL: it leads elsewhere."""
        return self._device.unmap(iova, phys, size)

    def iova_to_phys(self, iova: int) -> int:
        """Where an iova of this device leads; 0: nowhere."""
        return self._device.iova_to_phys(iova)


class Domain:
    """An address space of devices, as the board's semantics have it."""

    def __init__(self, domain: _core.BoardDomain) -> None:
        self._domain = domain

    def attach(self, device: Device) -> None:
        """Puts a device into the domain. EINVAL: it cannot serve this one; ENOMEM.

        A refused device leaves the domain as it was.
        """
        self._domain.attach(device._device)

    def detach(self, device: Device) -> None:
        """Takes a device out. The last table stays, with all that is mapped."""
        self._domain.detach(device._device)

    def map(self, iova: int, phys: int, size: int, prot: int = READ | WRITE) -> None:
        """Maps `size` bytes in every table, or in none.

        ENODEV: no device was attached yet, so there is no table, or the IOMMUs have no page size in
        common. ERANGE: beyond what one of the IOMMUs translates. Else as `iommu.Domain.map()`.
        """
        self._domain.map(iova, phys, size, prot)

    def unmap(self, iova: int, size: int) -> int:
        """Unmaps up to `size` bytes and returns how many went, from the start of the first page.

        Each table loses what its driver unmaps, and then whatever another table has lost: a page
        that is large in one of them and goes whole there goes from all.
        """
        return self._domain.unmap(iova, size)

    def iova_to_phys(self, iova: int, device: Device | None = None) -> int:
        """Where an iova leads; 0: nowhere. With `device`, in the table that it uses; 0 if it is not
        attached.
        """
        return self._domain.iova_to_phys(iova, None if device is None else device._device)

    def create_window(self, start: int, size: int, page_shift: int) -> None:
        """Behind POWER's bridges no iova is valid before: pages of 2**page_shift bytes at
        [start, start + size).

        OSError: EINVAL no power of two, not aligned to its size; EEXIST meets another window;
        ENOSPC there are two; ENOMEM. ValueError: a domain with page tables.
        """
        self._domain.create_window(start, size, page_shift)

    def remove_window(self, start: int) -> None:
        """Unmaps all of a window; its iovas are no longer valid. OSError ENOENT: there is none."""
        self._domain.remove_window(start)

    def tces(self, start: int, count: int = 1) -> list[int]:
        """Entries of the window with this iova from it on, as the hardware has them."""
        return self._domain.tces(start, count)

    @property
    def pgsize_bitmap(self) -> int:
        """Page sizes that can be mapped, a bit each."""
        return self._domain.pgsize_bitmap

    @property
    def tables(self) -> list[int]:
        """The bytes of each page table of the domain."""
        return self._domain.tables
