# SPDX-License-Identifier: MIT
"""A type 1 container against a dictionary of its mappings. A device is the judge."""

from __future__ import annotations

import errno
import struct
from dataclasses import dataclass
from operator import index
from typing import ClassVar, Literal, SupportsIndex, TypeAlias

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from kvmiommu import Process, System, uapi
from kvmiommu.machine import Machine
from kvmiommu.pci import DeviceModel
from kvmiommu.testing.strategies._arguments import at_least
from kvmiommu.testing.strategies._shown import Shown
from kvmiommu.vfio import Container, Device, Group

from ._refused import compare

__all__ = ["Mapping", "Type1Machine"]

Access: TypeAlias = Literal["rw", "r", "w"]
_ACCESSES: tuple[Access, ...] = ("rw", "r", "w")
_CONFIG = uapi.vfio.VFIO_PCI_CONFIG_REGION_INDEX
_BUS_MASTER = struct.pack("<H", 0x4)


class _Probe(DeviceModel):
    """A device that does nothing but DMA, when the state machine has it do so."""


@dataclass(frozen=True, slots=True, repr=False)
class Mapping(Shown):
    """`size` bytes at `iova`, backed from `offset` in the buffer."""

    iova: int
    size: int
    offset: int
    access: Access

    @property
    def end(self) -> int:
        return self.iova + self.size

    def __repr__(self) -> str:
        return f"{self.iova:#x}-{self.end - 1:#x} from +{self.offset:#x} {self.access}"


class Type1Machine(RuleBasedStateMachine):
    """Maps and unmaps within a small space, so that calls meet each other.

    Override `map_dma`, `unmap_dma` and `unmap_all` to have your code make the calls; `begin` if it
    opens the container itself. They raise the OSError that the kernel refuses a call with. After
    each step every page is tried by a device of the machine's, and pins and VmLck are counted.
    """

    #: A machine with an IOMMU of type 1, the group and the function that the device takes.
    machine: ClassVar[str | Machine] = "q35-intel"
    group: ClassVar[int] = 1
    function: ClassVar[str] = "0000:00:02.0"
    #: In pages.
    iova_pages: ClassVar[int] = 16
    buffer_pages: ClassVar[int] = 8

    system: System
    process: Process
    #: The address of the buffer in `process`; each page of it begins with its number.
    buffer: int
    page: int
    #: What must be mapped, by iova.
    mappings: dict[int, Mapping]
    #: Set by `begin`.
    device: Device
    container: Container

    def __init__(self) -> None:
        super().__init__()
        at_least(f"{type(self).__name__}.iova_pages", self.iova_pages, 1)
        at_least(f"{type(self).__name__}.buffer_pages", self.buffer_pages, 1)
        self.mappings = {}
        self.system = System(self.machine, models={self.function: _Probe})
        self.process = self.system.process()
        self.page = self.process.page_size
        self.buffer = self.process.mmap(self.buffer_pages * self.page, 3, 0x22)
        for number in range(self.buffer_pages):
            self.process.poke(self.buffer + number * self.page, _stamp(number))

    # --- to override ---

    def begin(self) -> None:
        """Opens a container with the group in it and the device, into `container` and `device`."""
        self.container = Container(self.process)
        group = Group(self.process, self.group)
        group.set_container(self.container)
        self.container.set_iommu()
        self.device = group.get_device(self.function)

    def map_dma(self, iova: int, offset: int, size: int, access: Access) -> None:
        """Maps [offset, offset + size) of the buffer at `iova`."""
        self.container.map_dma(
            iova, self.buffer + offset, size, read="r" in access, write="w" in access
        )

    def unmap_dma(self, iova: int, size: int) -> int:
        """Unmaps what lies within the range; the bytes that went."""
        return self.container.unmap_dma(iova, size)

    def unmap_all(self) -> int:
        """Unmaps everything; the bytes that went."""
        return self.container.unmap_all()

    # --- rules ---

    @initialize()
    def _begin(self) -> None:
        self.begin()
        if not hasattr(self, "device"):
            raise TypeError(f"{type(self).__name__}.begin() has set no `device`")
        self.device.write(_CONFIG, 4, _BUS_MASTER)

    @rule(data=st.data())
    def map(self, data: st.DataObject) -> None:
        iova = data.draw(st.integers(0, self.iova_pages - 1), "iova page") * self.page
        size = data.draw(st.integers(1, min(4, self.buffer_pages)), "pages") * self.page
        most = self.buffer_pages - size // self.page
        offset = data.draw(st.integers(0, most), "buffer page") * self.page
        access: Access = data.draw(st.sampled_from(_ACCESSES), "access")
        mapping = Mapping(iova, size, offset, access)
        expected = errno.EEXIST if self._meeting(iova, size) else None
        compare(f"map {mapping}", expected, lambda: self.map_dma(iova, offset, size, access))
        if expected is None:
            self.mappings[iova] = mapping

    @rule(data=st.data())
    def unmap(self, data: st.DataObject) -> None:
        iova = data.draw(st.integers(0, self.iova_pages - 1), "iova page") * self.page
        size = data.draw(st.integers(1, self.iova_pages), "pages") * self.page
        met = self._meeting(iova, size)
        cut = any(each.iova < iova or iova + size < each.end for each in met)
        what = f"unmap {iova:#x}-{iova + size - 1:#x}"
        gone = compare(what, errno.EINVAL if cut else None, lambda: self.unmap_dma(iova, size))
        if not cut:
            self._unmapped(what, "unmap_dma", gone, met)

    @rule()
    def unmap_everything(self) -> None:
        gone = compare("unmap all", None, self.unmap_all)
        self._unmapped("unmap all", "unmap_all", gone, [*self.mappings.values()])

    def _unmapped(self, what: str, method: str, gone: object, taken: list[Mapping]) -> None:
        if not isinstance(gone, SupportsIndex):
            raise TypeError(
                f"{type(self).__name__}.{method}() returned {gone!r}: must be how many bytes went"
            )
        expected = sum(mapping.size for mapping in taken)
        assert gone == expected, f"{what}: {index(gone):#x} bytes went, expected {expected:#x}"
        for mapping in taken:
            del self.mappings[mapping.iova]

    def _meeting(self, iova: int, size: int) -> list[Mapping]:
        return [
            each for each in self.mappings.values() if each.iova < iova + size and iova < each.end
        ]

    # --- what must hold ---

    @invariant()
    def device_reaches_what_is_mapped(self) -> None:
        if not hasattr(self, "device"):
            return
        probe = self.system.models[self.function]
        for number in range(self.iova_pages + 4):
            iova = number * self.page
            mapping = next(iter(self._meeting(iova, self.page)), None)
            try:
                found: int | None = struct.unpack("<Q", probe.dma_read(iova, 8))[0]
            except OSError:
                found = None
            expected = None
            if mapping is not None and "r" in mapping.access:
                expected = (mapping.offset + iova - mapping.iova) // self.page
            assert found == expected, (
                f"a read at {iova:#x} found {_page_name(found)}, expected {_page_name(expected)}; "
                f"mapped: {sorted(self.mappings.values(), key=lambda each: each.iova)}"
            )
            try:
                # What is there already, so that nothing changes.
                probe.dma_write(iova, _stamp(0 if mapping is None else self._number(mapping, iova)))
                wrote = True
            except OSError:
                wrote = False
            may = mapping is not None and "w" in mapping.access
            assert wrote == may, f"a write at {iova:#x}: {wrote=}, expected {may}"
        for number in range(self.buffer_pages):
            address = self.buffer + number * self.page
            assert self.process.peek(address, 8) == _stamp(number), (
                f"a write went to page {number} of the buffer"
            )

    def _number(self, mapping: Mapping, iova: int) -> int:
        return (mapping.offset + iova - mapping.iova) // self.page

    @invariant()
    def pins_and_charges_are_those_of_the_mappings(self) -> None:
        size = sum(mapping.size for mapping in self.mappings.values())
        charged = self.process.status("VmLck")
        assert charged == size // 1024, f"VmLck is {charged} kB with {size // 1024} kB mapped"
        pins, pages = self.system.total_pins, size // self.page
        assert pins == pages, f"{pins} pages are pinned with {pages} mapped"

    def teardown(self) -> None:
        self.system.close()


def _stamp(number: int) -> bytes:
    return struct.pack("<Q", number)


def _page_name(number: int | None) -> str:
    return "nothing" if number is None else f"page {number} of the buffer"
