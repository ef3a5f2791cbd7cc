# SPDX-License-Identifier: MIT
"""Programs that map, unmap, protect, read, write and pin, against a model page by page.

The model knows pages by identity. An address shows a page, a file has pages, a DMA mapping pins
pages, a view shows pages; so that what is pinned while its address is given up stays what it was.
"""

from __future__ import annotations

import errno
from dataclasses import dataclass, field
from mmap import MAP_ANONYMOUS, MAP_PRIVATE, MAP_SHARED, PROT_EXEC, PROT_READ, PROT_WRITE

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from kvmiommu import MemoryFault, System
from kvmiommu.machine import Machine
from kvmiommu.uapi import vfio
from kvmiommu.uapi.posix import MAP_FIXED
from programs import DMA_READ_WRITE, READ_WRITE, bare, map_dma, outcome, q35, type1, unmap_dma

MACHINES = {
    "4K": q35(memory="256M"),
    "4K-in-fragments": q35(memory="256M", fragmentation="64K"),
    "64K-ppc64le": bare("ppc64le", "64K"),
    "64K-aarch64": bare("aarch64", "64K"),
}
FRAME = 4096
MOST_MAPPINGS = 12
MOST_IOVAS = 24

which = st.integers(0, 7)
some_pages = st.integers(1, 4)
protections = st.sampled_from(
    [READ_WRITE, PROT_READ, 0, PROT_WRITE, PROT_EXEC, READ_WRITE | PROT_EXEC]
)
contents = st.binary(min_size=1, max_size=6)


class Page:
    """What a page of memory holds: the bytes that are not zero, by their offset."""

    def __init__(self, data: dict[int, int] | None = None) -> None:
        self.data = dict(data or {})

    def read(self, offset: int, length: int) -> bytes:
        return bytes(self.data.get(offset + at, 0) for at in range(length))

    def write(self, offset: int, data: bytes) -> None:
        self.data |= {offset + at: byte for at, byte in enumerate(data)}

    def cut(self, offset: int) -> None:
        self.data = {at: byte for at, byte in self.data.items() if at < offset}


@dataclass
class File:
    """A memfd, or what shared anonymous memory is made of."""

    page_size: int
    size: int
    fd: int = -1
    pages: dict[int, Page] = field(default_factory=dict)

    def __contains__(self, index: int) -> bool:
        return index * self.page_size < self.size

    def page(self, index: int) -> Page:
        return self.pages.setdefault(index, Page())

    def resize(self, size: int) -> None:
        if size < self.size:
            self.pages = {at: page for at, page in self.pages.items() if at * self.page_size < size}
            if size % self.page_size and size // self.page_size in self.pages:
                self.pages[size // self.page_size].cut(size % self.page_size)
        self.size = size


@dataclass
class Shown:
    """One page of addresses. `page` is None where the file that it copied had ended."""

    protection: int
    page: Page | None = None
    file: File | None = None
    index: int = 0

    def now(self) -> Page | None:
        """The page, None where it is past the end of the file."""
        if self.file is None:
            return self.page
        return self.file.page(self.index) if self.index in self.file else None


@dataclass
class Pinned:
    iova: int
    pages: list[Page]


class AddressSpace(RuleBasedStateMachine):
    machine: Machine

    def __init__(self) -> None:
        super().__init__()
        self.system = System(self.machine)
        self.process = self.system.process()
        self.unused = self.system.used_frames
        self.page_size = self.machine.page_size
        self.frames = self.page_size // FRAME
        self.made: list[tuple[int, int]] = []  # address and pages of every mmap()
        self.shown: dict[int, Shown] = {}  # by address
        self.files: list[File] = []
        self.pinned: list[Pinned] = []
        self.views: list[tuple[memoryview, list[Page]]] = []
        self.container = type1(self.process)[0] if self.machine.iommus else None

    def teardown(self) -> None:
        self.views.clear()
        self.process.exit()
        assert self.process.mapped_bytes == 0
        assert self.system.pinned_frames == self.system.total_pins == 0
        assert self.process.status("VmLck") == 0
        self.system.close()
        assert self.system.used_frames == self.unused

    # -- choices

    def place(self, which: int, first: int, pages: int) -> tuple[int, int]:
        """An address in something that was mapped, and a length that may reach one page past it."""
        address, mapped = self.made[which % len(self.made)]
        first %= mapped
        return address + first * self.page_size, min(pages, mapped - first + 1) * self.page_size

    def pages_of(self, address: int, length: int) -> list[tuple[int, int, int]]:
        """(address of the page, offset in it, bytes) of each page that the bytes lie in."""
        pieces = []
        while length:
            offset = address % self.page_size
            step = min(length, self.page_size - offset)
            pieces.append((address - offset, offset, step))
            address, length = address + step, length - step
        return pieces

    # -- mapping

    def enter(self, address: int, pages: int, protection: int, file: File | None) -> None:
        for at in range(pages):
            self.shown[address + at * self.page_size] = (
                Shown(protection, Page()) if file is None else Shown(protection, None, file, at)
            )

    def enter_copy(self, address: int, pages: int, protection: int, file: File, first: int) -> None:
        for at in range(pages):
            index = first + at
            page = Page(file.page(index).data) if index in file else None
            self.shown[address + at * self.page_size] = Shown(protection, page)

    def room(self) -> bool:
        return len(self.made) < MOST_MAPPINGS

    @precondition(room)
    @rule(pages=some_pages, protection=protections, shared=st.booleans())
    def map_anonymous(self, pages: int, protection: int, shared: bool) -> None:
        flags = MAP_ANONYMOUS | (MAP_SHARED if shared else MAP_PRIVATE)
        length = pages * self.page_size
        address = self.process.mmap(length - 1, protection, flags)
        self.made.append((address, pages))
        self.enter(address, pages, protection, File(self.page_size, length) if shared else None)

    @precondition(lambda self: self.made)
    @rule(which=which, first=st.integers(0, 3), pages=some_pages, protection=protections)
    def map_over(self, which: int, first: int, pages: int, protection: int) -> None:
        address, mapped = self.made[which % len(self.made)]
        first %= mapped
        pages = min(pages, mapped - first)
        if address + first * self.page_size not in self.shown:
            return  # a hole: MAP_FIXED goes over what is mapped
        address += first * self.page_size
        got = self.process.mmap(
            pages * self.page_size,
            protection,
            MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED,
            address=address,
        )
        assert got == address
        self.enter(address, pages, protection, None)

    @precondition(room)
    @precondition(lambda self: self.files)
    @rule(
        which=which,
        first=st.integers(0, 2),
        pages=some_pages,
        protection=protections,
        shared=st.booleans(),
    )
    def map_file(self, which: int, first: int, pages: int, protection: int, shared: bool) -> None:
        file = self.files[which % len(self.files)]
        address = self.process.mmap(
            pages * self.page_size,
            protection,
            MAP_SHARED if shared else MAP_PRIVATE,
            file.fd,
            first * self.page_size,
        )
        self.made.append((address, pages))
        if not shared:
            self.enter_copy(address, pages, protection, file, first)
            return
        for at in range(pages):
            shown = Shown(protection, None, file, first + at)
            self.shown[address + at * self.page_size] = shown

    @precondition(lambda self: self.made)
    @rule(which=which, first=st.integers(0, 3), pages=some_pages)
    def munmap(self, which: int, first: int, pages: int) -> None:
        address, length = self.place(which, first, pages)
        self.process.munmap(address, length)
        for at in range(address, address + length, self.page_size):
            self.shown.pop(at, None)
        # Once all of a mapping is gone its place is the host's to give away: what is there then
        # differs from run to run, so nothing asks any more.
        self.made = [
            (start, count)
            for start, count in self.made
            if any(start + page * self.page_size in self.shown for page in range(count))
        ]

    @precondition(lambda self: self.made)
    @rule(which=which, first=st.integers(0, 3), pages=some_pages, protection=protections)
    def mprotect(self, which: int, first: int, pages: int, protection: int) -> None:
        address, length = self.place(which, first, pages)
        got = outcome(lambda: self.process.mprotect(address, length, protection))
        expected = None
        for at in range(address, address + length, self.page_size):
            if at not in self.shown:
                expected = -errno.ENOMEM  # with what lies before it changed
                break
            self.shown[at].protection = protection
        assert got == expected

    # -- loads and stores

    def reach(
        self, address: int, length: int, write: bool
    ) -> tuple[list[tuple[Page, int, int]], str]:
        """The pages as far as the process reaches them, and the signal that it then gets."""
        pieces = []
        for at, offset, step in self.pages_of(address, length):
            shown = self.shown.get(at)
            if shown is None or not (shown.protection & PROT_WRITE if write else shown.protection):
                return pieces, "SIGSEGV"
            page = shown.now()
            if page is None:
                return pieces, "SIGBUS"
            pieces.append((page, offset, step))
        return pieces, ""

    @precondition(lambda self: self.made)
    @rule(which=which, first=st.integers(0, 3), before=st.integers(-4, 4), data=contents)
    def poke(self, which: int, first: int, before: int, data: bytes) -> None:
        address = self.place(which, first, 1)[0] - before
        pieces, signal = self.reach(address, len(data), write=True)
        got = ""
        try:
            self.process.poke(address, data)
        except MemoryFault as fault:
            got = fault.signal
        assert got == signal
        for page, offset, step in pieces:
            page.write(offset, data[:step])
            data = data[step:]

    @precondition(lambda self: self.made)
    @rule(which=which, first=st.integers(0, 3), before=st.integers(-4, 4), length=st.integers(1, 8))
    def peek(self, which: int, first: int, before: int, length: int) -> None:
        address = self.place(which, first, 1)[0] - before
        pieces, signal = self.reach(address, length, write=False)
        expected = b"".join(page.read(offset, step) for page, offset, step in pieces)
        got, data = "", expected
        try:
            data = self.process.peek(address, length)
        except MemoryFault as fault:
            got = fault.signal
        assert (got, data) == (signal, expected)

    @precondition(lambda self: self.made)
    @rule(which=which, first=st.integers(0, 3), pages=some_pages)
    def look(self, which: int, first: int, pages: int) -> None:
        """A view, which shows the same pages from now on."""
        address, length = self.place(which, first, pages)
        pieces, signal = self.reach(address, length, write=False)
        if signal:
            assert outcome(lambda: self.process.view(address, length)) == -errno.EFAULT
        else:
            self.views.append((self.process.view(address, length), [page for page, _, _ in pieces]))

    @precondition(lambda self: self.views)
    @rule(which=which, at=st.integers(0, 8), data=contents)
    def store_through_view(self, which: int, at: int, data: bytes) -> None:
        view, pages = self.views[which % len(self.views)]
        view[at : at + len(data)] = data
        pages[0].write(at, data)

    # -- files

    @precondition(lambda self: len(self.files) < 4)
    @rule(size=st.integers(0, 3), odd=st.sampled_from([0, 1, -1]))
    def memfd(self, size: int, odd: int) -> None:
        file = File(self.page_size, 0, self.process.memfd_create("test"))
        file.resize(max(0, size * self.page_size + odd))
        self.process.ftruncate(file.fd, file.size)
        self.files.append(file)

    @precondition(lambda self: self.files)
    @rule(which=which, size=st.integers(0, 5), odd=st.sampled_from([0, 1, 9, -1]))
    def ftruncate(self, which: int, size: int, odd: int) -> None:
        file = self.files[which % len(self.files)]
        size = max(0, size * self.page_size + odd)
        self.process.ftruncate(file.fd, size)
        file.resize(size)

    @precondition(lambda self: self.files)
    @rule(which=which, index=st.integers(0, 5), before=st.integers(-4, 4), data=contents)
    def pwrite(self, which: int, index: int, before: int, data: bytes) -> None:
        file = self.files[which % len(self.files)]
        offset = max(0, index * self.page_size - before)
        assert self.process.pwrite(file.fd, data, offset) == len(data)
        file.resize(max(file.size, offset + len(data)))
        for at, within, step in self.pages_of(offset, len(data)):
            file.page(at // self.page_size).write(within, data[:step])
            data = data[step:]

    @precondition(lambda self: self.files)
    @rule(which=which, index=st.integers(0, 5), before=st.integers(-4, 4), length=st.integers(1, 8))
    def pread(self, which: int, index: int, before: int, length: int) -> None:
        file = self.files[which % len(self.files)]
        offset = max(0, index * self.page_size - before)
        expected = b"".join(
            file.page(at // self.page_size).read(within, step)
            for at, within, step in self.pages_of(offset, max(0, min(length, file.size - offset)))
        )
        assert self.process.pread(file.fd, length, offset) == expected

    @precondition(lambda self: self.files)
    @rule(which=which)
    def close(self, which: int) -> None:
        self.process.close(self.files.pop(which % len(self.files)).fd)

    # -- pins

    @precondition(lambda self: self.made and self.container is not None)
    @rule(
        which=which,
        first=st.integers(0, 3),
        pages=some_pages,
        iova=st.integers(0, MOST_IOVAS - 1),
        write=st.booleans(),
    )
    def map_dma(self, which: int, first: int, pages: int, iova: int, write: bool) -> None:
        assert self.container is not None
        container = self.container
        address, length = self.place(which, first, pages)
        flags = DMA_READ_WRITE if write else vfio.VFIO_DMA_MAP_FLAG_READ
        got = outcome(
            lambda: map_dma(
                self.process, container, iova * self.page_size, address, length, flags=flags
            )
        )
        count = length // self.page_size
        if any(one.iova < iova + count and iova < one.iova + len(one.pages) for one in self.pinned):
            assert got == -errno.EEXIST
            return
        # A pin goes by what the mapping says, not by what the processor would let through.
        needed = PROT_WRITE if write else PROT_READ
        pieces, signal = self.reach(address, length, write)
        if signal or not all(
            self.shown[at].protection & needed
            for at in range(address, address + length, self.page_size)
        ):
            assert got == -errno.EFAULT
            return
        assert got is None
        self.pinned.append(Pinned(iova, [page for page, _, _ in pieces]))

    @precondition(lambda self: self.container is not None)
    @rule(iova=st.integers(0, MOST_IOVAS - 1), pages=st.integers(1, MOST_IOVAS))
    def unmap_dma(self, iova: int, pages: int) -> None:
        assert self.container is not None
        container, last = self.container, iova + pages - 1
        got = outcome(
            lambda: unmap_dma(
                self.process, container, iova * self.page_size, pages * self.page_size
            )
        )
        for one in self.pinned:
            end = one.iova + len(one.pages) - 1
            if one.iova <= last < end or one.iova < iova <= end:
                assert got == -errno.EINVAL  # it would cut this one
                return
        gone = [one for one in self.pinned if iova <= one.iova <= last]
        assert got == sum(len(one.pages) for one in gone) * self.page_size
        self.pinned = [one for one in self.pinned if one not in gone]

    # -- what must always hold

    @invariant()
    def agrees_with_the_model(self) -> None:
        pages = [page for one in self.pinned for page in one.pages]
        assert self.system.total_pins == len(pages) * self.frames
        assert self.system.pinned_frames == len({id(page) for page in pages}) * self.frames
        assert self.process.status("VmLck") == len(pages) * self.page_size // 1024
        assert self.process.status("VmPin") == 0
        assert self.process.mapped_bytes == len(self.shown) * self.page_size
        for view, shown in self.views:
            for at, page in enumerate(shown):
                start = at * self.page_size
                assert bytes(view[start : start + 16]) == page.read(0, 16)


@pytest.mark.parametrize("name", MACHINES)
def test_address_space(name: str) -> None:
    run = type(f"AddressSpaceOf{name}", (AddressSpace,), {"machine": MACHINES[name]})
    run.TestCase().runTest()
