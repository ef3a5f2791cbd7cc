# SPDX-License-Identifier: MIT
"""Regions of a device: what they are, accesses, mappings, capabilities."""

from __future__ import annotations

import ctypes
import errno
import struct
from collections.abc import Iterator
from typing import Any

import pytest

from kvmiommu import MemoryFault
from kvmiommu.uapi import posix
from kvmiommu.uapi import vfio as v
from kvmiommu.vfio import (
    Area,
    Device,
    MsixMappable,
    OtherCapability,
    Region,
    RegionType,
    SparseMmap,
)
from recorded import recorded, result
from vfio_scene import E1000E, EDU, Scene, scene

CONFIG = v.VFIO_PCI_CONFIG_REGION_INDEX


@pytest.fixture
def running() -> Iterator[Scene]:
    with scene(1, 8) as running:
        yield running


def refused(error: int) -> pytest.RaisesExc[OSError]:
    return pytest.raises(OSError, check=lambda found: found.errno == error)


def test_regions_are_those_of_the_transcript(running: Scene) -> None:
    device = running.open(E1000E)
    results = recorded("q35-intel/device-info-e1000e.uapi", "VFIO_DEVICE_GET_REGION_INFO")
    # The first one is too short to be an argument.
    indexes = [*range(10), 99]
    assert [result(lambda: device.region(index)) for index in indexes] == results[1:]  # noqa: B023
    regions = [device.region(index) for index in range(8)]
    assert [region.flags for region in regions] == [7, 7, 3, 15, 0, 0, 0, 3]
    assert [region.size for region in regions] == [
        *(0x20000, 0x20000, 0x20, 0x4000),
        *(0, 0, 0, 0x1000),
    ]
    assert [region.offset for region in regions] == [index << 40 for index in range(8)]
    assert [region.capabilities for region in regions] == [(), (), (), (MsixMappable(),), *[()] * 4]


def test_a_region_is_read_and_written(running: Scene) -> None:
    bar = running.open(EDU).region(0)
    assert bar.read(0, 4) == struct.pack("<I", 0x010000ED)
    assert bar.write(4, struct.pack("<I", 0x12345678)) == 4
    assert bar.read(4, 4) == struct.pack("<I", 0xEDCBA987)
    assert len(bar.read(bar.size - 4, 64)) == 4
    with refused(errno.EINVAL):
        bar.read(bar.size, 1)
    with refused(errno.EINVAL):
        running.open(EDU).region(1).read(0, 1)


def test_a_region_is_mapped_and_unmapped(running: Scene) -> None:
    device = running.open(EDU)
    bar = device.region(0)
    before = running.process.mapped_bytes
    with bar.mmap() as mapping:
        assert mapping.length == bar.size == running.process.mapped_bytes - before
        mapping.poke(8, struct.pack("<I", 5))
        assert mapping.peek(8, 4) == struct.pack("<I", 120)  # the factorial
        with pytest.raises(MemoryFault, match="SIGSEGV"):
            mapping.peek(mapping.length - 4, 8)
    assert running.process.mapped_bytes == before
    assert "unmapped" in repr(mapping)
    mapping.close()  # no error


def test_a_part_of_a_region_is_mapped(running: Scene) -> None:
    bar = running.open(EDU).region(0)
    with bar.mmap(0x1000, 0x2000, posix.PROT_READ) as part:
        assert part.length == 0x2000
        with pytest.raises(MemoryFault, match="SIGSEGV"):
            part.poke(0, b"\0")
    with bar.mmap(0x1000) as rest:
        assert rest.length == bar.size - 0x1000
    with refused(errno.EINVAL):
        bar.mmap(0x1000, bar.size)
    with refused(errno.EINVAL):
        running.open(E1000E).region(2).mmap()  # ports


def test_a_mapping_keeps_its_device_open(running: Scene) -> None:
    device = running.open(EDU)
    mapping = device.region(0).mmap(0, 0x1000)
    device.close()
    assert mapping.peek(0, 4) == struct.pack("<I", 0x010000ED)
    with refused(errno.EBUSY):
        running.groups[1].unset_container()
    mapping.close()
    running.groups[1].unset_container()


class ChainOf(Device):
    """A device of which only a region's capabilities are known."""

    def __init__(self, *capabilities: bytes) -> None:
        self.chain = capabilities

    def ioctl(self, request: Any, argument: Any = None) -> int:
        assert request == v.VFIO_DEVICE_GET_REGION_INFO
        head = ctypes.sizeof(v.vfio_region_info)
        needed = head + sum(map(len, self.chain))
        info = v.vfio_region_info.from_buffer(argument)
        info.flags |= v.VFIO_REGION_INFO_FLAG_CAPS
        if info.argsz < needed:
            info.argsz, info.cap_offset = needed, 0
            return 0
        at = info.cap_offset = head
        for number, capability in enumerate(self.chain, 1):
            following = at + len(capability) if number < len(self.chain) else 0
            argument[at : at + len(capability)] = (
                capability[:4] + struct.pack("<I", following) + capability[8:]
            )
            at += len(capability)
        return 0


def test_every_capability_of_a_chain_is_taken_apart() -> None:
    sparse = struct.pack("<HHIII", 1, 1, 0, 2, 0) + struct.pack("<4Q", 0, 0x1000, 0x3000, 0x5000)
    kind = struct.pack("<HHIII", 2, 1, 0, v.VFIO_REGION_TYPE_GFX, v.VFIO_REGION_SUBTYPE_GFX_EDID)
    msix = struct.pack("<HHI", 3, 1, 0)
    other = struct.pack("<HHIQ", 4, 2, 0, 0x1234)
    region = Region(ChainOf(sparse, kind, msix, other), 0)
    assert region.capabilities == (
        SparseMmap((Area(0, 0x1000), Area(0x3000, 0x5000))),
        RegionType(v.VFIO_REGION_TYPE_GFX, v.VFIO_REGION_SUBTYPE_GFX_EDID),
        MsixMappable(),
        OtherCapability(4, 2, other),
    )
    assert Region(ChainOf(msix), 0).capabilities == (MsixMappable(),)
    assert Region(ChainOf(), 0).capabilities == ()
