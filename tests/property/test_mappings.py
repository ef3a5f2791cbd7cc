# SPDX-License-Identifier: MIT
"""MAP_DMA, UNMAP_DMA and dirty pages against a dictionary, page by page.

The judge is a device: QEMU's edu copies between the iovas and a buffer of its own. What it can
reach is what the dictionary says, with the access that the mapping gives; pins, VmLck and dirty
bitmaps are counted along.
"""

from __future__ import annotations

import errno
import struct
from dataclasses import dataclass

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from kvmiommu import System, uapi
from kvmiommu.vfio import Container, Group

PAGE = 4096
IOVA_PAGES = 24  # a small space, so that calls meet each other
BUFFER_PAGES = 16
CONFIG = uapi.vfio.VFIO_PCI_CONFIG_REGION_INDEX
SCRATCH = IOVA_PAGES + 8  # past the end of the longest mapping
EDU_BUFFER = 0x40000
TO_DEVICE, TO_MEMORY = 0x1, 0x3

pages = st.integers(0, IOVA_PAGES - 1)
sizes = st.integers(0, 6)


@dataclass(frozen=True)
class Mapped:
    start: int  # pages
    size: int
    buffer: int
    read: bool
    write: bool

    def covers(self, page: int) -> bool:
        return self.start <= page < self.start + self.size


class Mappings(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.system = System("q35-intel")
        self.process = self.system.process()
        self.mappings: list[Mapped] = []
        self.tracking = False
        self.faults = 0
        self.stamp = 0

    @initialize(version=st.sampled_from((1, 3)))
    def begin(self, version: int) -> None:
        self.version = version
        self.buffer = self.process.mmap(BUFFER_PAGES * PAGE, 3, 0x22)
        self.container = Container(self.process)
        group = Group(self.process, 1)
        group.set_container(self.container)
        self.container.set_iommu(version)
        self.device = group.get_device("0000:00:02.0")
        self.device.write(CONFIG, 4, struct.pack("<H", 0x6))  # memory and bus master on

    # --- the dictionary ---

    def at(self, page: int) -> Mapped | None:
        return next((mapped for mapped in self.mappings if mapped.covers(page)), None)

    def meeting(self, start: int, size: int) -> list[Mapped]:
        return [
            mapped
            for mapped in self.mappings
            if mapped.start < start + size and start < mapped.start + mapped.size
        ]

    def unmapped_by(self, start: int, size: int) -> list[Mapped] | None:
        """What an unmap takes, or None where it is refused."""
        meeting = sorted(self.meeting(start, size), key=lambda mapped: mapped.start)
        whole = [m for m in meeting if start <= m.start and m.start + m.size <= start + size]
        if self.version == 3:
            return whole if whole == meeting else None
        # Version 1: from the first one that is met at its start; its end does not matter.
        return [] if meeting and meeting[0].start < start else meeting

    # --- calls ---

    @rule(start=pages, size=sizes, place=st.integers(0, BUFFER_PAGES - 1), access=st.integers(0, 3))
    def map(self, start: int, size: int, place: int, access: int) -> None:
        read, write = bool(access & 1), bool(access & 2)
        expected = None
        if size == 0 or access == 0:
            expected = errno.EINVAL
        elif self.meeting(start, size):
            expected = errno.EEXIST
        elif place + size > BUFFER_PAGES:
            expected = errno.EFAULT
        arguments = (start * PAGE, self.buffer + place * PAGE, size * PAGE)
        if expected is not None:
            with pytest.raises(OSError) as refused:  # noqa: PT011 - the errno is looked at
                self.container.map_dma(*arguments, read=read, write=write)
            assert refused.value.errno == expected
            return
        self.container.map_dma(*arguments, read=read, write=write)
        self.mappings.append(Mapped(start, size, place, read, write))

    @rule(start=pages, size=sizes)
    def unmap(self, start: int, size: int) -> None:
        taken = self.unmapped_by(start, size)
        if size == 0 or taken is None:
            with pytest.raises(OSError) as refused:  # noqa: PT011 - the errno is looked at
                self.container.unmap_dma(start * PAGE, size * PAGE)
            assert refused.value.errno == errno.EINVAL
            return
        gone = self.container.unmap_dma(start * PAGE, size * PAGE)
        assert gone == sum(mapped.size for mapped in taken) * PAGE
        self.mappings = [mapped for mapped in self.mappings if mapped not in taken]

    @rule()
    def unmap_all(self) -> None:
        gone = self.container.unmap_all()
        assert gone == sum(mapped.size for mapped in self.mappings) * PAGE
        self.mappings = []

    @rule(on=st.booleans())
    def track(self, on: bool) -> None:
        if self.version == 1:
            with pytest.raises(PermissionError):
                self.container.start_dirty_pages()
            return
        (self.container.start_dirty_pages if on else self.container.stop_dirty_pages)()
        self.tracking = on

    @rule(start=pages, size=st.integers(1, IOVA_PAGES))
    def dirty(self, start: int, size: int) -> None:
        if self.version == 1:
            return
        cut = any(
            not (start <= mapped.start and mapped.start + mapped.size <= start + size)
            for mapped in self.meeting(start, size)
        )
        if not self.tracking or cut:
            with pytest.raises(OSError) as refused:  # noqa: PT011 - the errno is looked at
                self.container.dirty_bitmap(start * PAGE, size * PAGE)
            assert refused.value.errno == errno.EINVAL
            return
        seen = self.container.dirty_bitmap(start * PAGE, size * PAGE)
        # Everything that is mapped counts as dirty. The kernel also shows pages behind a mapping
        # that an earlier call shifted there (type1-dirty-stale-bits): those are not asked.
        expected = {page * PAGE for page in range(start, start + size) if self.at(page)}
        assert expected <= set(seen)

    # --- the device ---

    def dma(self, source: int, destination: int, command: int) -> bool:
        """One transfer; whether it was free of faults."""
        for register, value in ((0x80, source), (0x88, destination), (0x90, 8), (0x98, command)):
            self.device.write(0, register, struct.pack("<Q", value))
        faults = len(self.system.dma_faults())
        new, self.faults = faults - self.faults, faults
        assert new <= 1
        return not new

    @rule(page=pages, offset=st.integers(0, PAGE - 8))
    def device_reads(self, page: int, offset: int) -> None:
        mapped = self.at(page)
        self.stamp += 1
        value = struct.pack("<Q", self.stamp)
        if mapped is not None:
            place = (mapped.buffer + page - mapped.start) * PAGE + offset
            self.process.poke(self.buffer + place, value)
        reached = self.dma(page * PAGE + offset, EDU_BUFFER, TO_DEVICE)
        assert reached == (mapped is not None and mapped.read)
        if reached:
            # Back through a mapping that is certainly there, to see what the device got.
            self.container.map_dma(SCRATCH * PAGE, self.buffer, PAGE)
            before = self.process.peek(self.buffer, 8)
            assert self.dma(EDU_BUFFER, SCRATCH * PAGE, TO_MEMORY)
            assert self.process.peek(self.buffer, 8) == value
            self.process.poke(self.buffer, before)
            self.container.unmap_dma(SCRATCH * PAGE, PAGE)

    @rule(page=pages, offset=st.integers(0, PAGE - 8))
    def device_writes(self, page: int, offset: int) -> None:
        mapped = self.at(page)
        memory = self.process.peek(self.buffer, BUFFER_PAGES * PAGE)
        reached = self.dma(EDU_BUFFER, page * PAGE + offset, TO_MEMORY)
        assert reached == (mapped is not None and mapped.write)
        after = self.process.peek(self.buffer, BUFFER_PAGES * PAGE)
        if mapped is None or not reached:
            assert after == memory
            return
        place = (mapped.buffer + page - mapped.start) * PAGE + offset
        assert after[:place] == memory[:place]
        assert after[place + 8 :] == memory[place + 8 :]

    # --- what is counted ---

    @invariant()
    def pins_and_charges(self) -> None:
        mapped = sum(mapping.size for mapping in self.mappings)
        assert self.process.status("VmLck") == mapped * PAGE // 1024
        assert self.system.total_pins == mapped

    def teardown(self) -> None:
        self.system.close()
        assert self.system.pinned_frames == 0


TestMappings = Mappings.TestCase
