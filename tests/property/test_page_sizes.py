# SPDX-License-Identifier: MIT
"""Which pages a table holds: every format, and every policy for parts of pages, beside a list.

The list has a row for each page, of whatever size. It knows how the core chooses sizes
(drivers/iommu/iommu.c: iommu_pgsize), what a policy does to a page that an unmap begins or ends
in, and that an unmap ends at a hole. Programs unmap what is mapped without a hole: what holes in a
table count for is the tables' business.

A place is a number of pages of one of the sizes, so that what fails shrinks to small numbers.
"""

from __future__ import annotations

import array
import errno
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kvmiommu import iommu

FORMATS = iommu.formats()
#: A step that would need more pages does nothing.
MOST_PAGES = 1500


@dataclass(frozen=True)
class Map:
    """`count` pages of size number `size`; `lead` smallest pages come before the place."""

    size: int
    place: int
    phys: int
    lead: int
    count: int
    prot: int


@dataclass(frozen=True)
class Unmap:
    """From so many smallest pages into a page of the list, to so many before the end of another."""

    page: int
    pages: int
    skip: int
    leave: int


places = st.integers(0, 6)
maps = st.builds(
    Map,
    size=st.integers(0, 3),
    place=places,
    phys=places,
    lead=st.integers(0, 3),
    count=st.one_of(st.integers(1, 3), st.sampled_from((8, 16, 512, 513))),
    prot=st.sampled_from((1, 2, 3)),
)
unmaps = st.builds(
    Unmap,
    page=st.integers(0, 40),
    pages=st.one_of(st.integers(1, 4), st.just(600)),
    skip=st.sampled_from((0, 0, 1, 5)),
    leave=st.sampled_from((0, 0, 1, 5)),
)
programs = st.lists(st.one_of(maps, unmaps), max_size=12)
#: Which of a format's page sizes a table has: those whose bits are set, counted from the smallest.
choices = st.one_of(st.just(~0), st.integers(1, 31))


def chosen(name: str, choice: int, policy: iommu.PartialUnmap) -> int:
    about = FORMATS[name]
    sizes = [1 << bit for bit in range(about.default_bits) if about.page_sizes >> bit & 1]
    if about.one_page_size:
        return sizes[choice % len(sizes)]
    found = sum(size for at, size in enumerate(sizes) if choice >> at & 1) or sizes[0]
    # What is split becomes the next smaller pages of the format, which must be the table's too.
    return about.page_sizes & ((1 << about.default_bits) - 1) if policy == "split" else found


@dataclass(frozen=True)
class Page:
    start: int
    size: int
    phys: int
    prot: int

    @property
    def end(self) -> int:
        return self.start + self.size


def choose(bitmap: int, iova: int, phys: int, size: int) -> tuple[int, int]:
    """A page size and how many of it: the rule step by step, as iommu_pgsize() has it."""
    sizes = [1 << bit for bit in range(64) if bitmap >> bit & 1]
    fitting = [page for page in sizes if page <= size and iova % page == 0 and phys % page == 0]
    page = max(fitting)
    larger = [other for other in sizes if other > page]
    if larger and (iova - phys) % larger[0] == 0:
        offset = larger[0] - (iova | phys) % larger[0]
        if offset + larger[0] <= size:
            size = offset
    return page, size // page


@dataclass
class Twin:
    domain: iommu.Domain
    policy: str
    pages: dict[int, Page] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.unit = self.domain.pgsize_bitmap & -self.domain.pgsize_bitmap
        self.base = self.domain.aperture[0]
        self.sizes = [1 << bit for bit in range(64) if self.domain.pgsize_bitmap >> bit & 1]

    def at(self, iova: int) -> Page | None:
        for page in self.pages.values():
            if page.start <= iova < page.end:
                return page
        return None

    def split(self, bitmap: int, iova: int, phys: int, size: int, prot: int) -> Iterator[Page]:
        while size:
            page, count = choose(bitmap, iova, phys, size)
            for at in range(count):
                yield Page(iova + at * page, page, phys + at * page, prot)
            iova, phys, size = iova + page * count, phys + page * count, size - page * count

    # --- maps ---

    def resolve(self, step: Map) -> tuple[int, int, int] | None:
        """iova, address and size in bytes; None where that leads too far."""
        page = self.sizes[step.size % len(self.sizes)]
        lead = step.lead * self.unit
        place = (step.place + 1) * page - lead
        phys = (step.phys + 1) * page - lead
        size = step.count * page + lead
        room = self.domain.aperture[1] - self.base >> 1  # above is a hole in some formats
        if (
            min(place, phys) < 0
            or place + size > room
            or phys + size > 1 << self.domain.format.output_bits
        ):
            return None
        for pages, _ in zip(
            self.split(self.domain.pgsize_bitmap, self.base + place, phys, size, 3),
            range(MOST_PAGES + 1),
            strict=False,
        ):
            if pages.end == self.base + place + size:
                return self.base + place, phys, size
        return None

    def map(self, step: Map) -> None:
        resolved = self.resolve(step)
        if resolved is None:
            return
        iova, phys, size = resolved
        overlaps = any(page.start < iova + size and iova < page.end for page in self.pages.values())
        try:
            self.domain.map(iova, phys, size, step.prot)
            answer = 0
        except OSError as refused:
            answer = refused.errno or 0
        assert answer == (errno.EEXIST if overlaps else 0)
        if not overlaps:
            for page in self.split(self.domain.pgsize_bitmap, iova, phys, size, step.prot):
                self.pages[page.start] = page

    # --- unmaps ---

    def unmap(self, step: Unmap) -> None:
        if not self.pages:
            return
        order = sorted(self.pages)
        first = self.pages[order[step.page % len(order)]]
        last = first
        for _ in range(step.pages - 1):
            if last.end not in self.pages:
                break
            last = self.pages[last.end]
        start = first.start + min(step.skip * self.unit, first.size - self.unit)
        end = max(last.end - step.leave * self.unit, start + self.unit)
        assert self.domain.unmap(start, end - start) == self.expect(start, end - start)

    def expect(self, start: int, size: int) -> int:
        """What goes: the core asks for pages of a size until nothing goes or all has."""
        done = 0
        while done < size:
            page, count = choose(self.domain.pgsize_bitmap, start + done, start + done, size - done)
            gone = self.take(start + done, page * count)
            if not gone:
                break
            done += gone
        return done

    def take(self, start: int, size: int) -> int:
        at, done = start, 0
        while done < size:
            page = self.at(at)
            if page is None:
                break
            from_start, all_of_it = at == page.start, page.size <= size - done
            if self.policy == "whole" or (from_start and all_of_it):
                pass
            elif self.policy == "split":
                self.make_smaller(page)
                continue
            elif self.policy == "refuse" or not from_start:
                break
            del self.pages[page.start]
            at, done = page.end, done + page.size
        return done

    def make_smaller(self, page: Page) -> None:
        """Into the pages of the next level, whatever sizes the table may map with."""
        smaller = max(size for size in levels_of(self.domain) if size < page.size)
        del self.pages[page.start]
        for at in range(0, page.size, smaller):
            part = Page(page.start + at, smaller, page.phys + at, page.prot)
            self.pages[part.start] = part

    # --- both ---

    def agree(self) -> None:
        pages = [self.pages[start] for start in sorted(self.pages)]
        ends = array.array("Q", [page.end - 1 for page in pages])
        found = self.domain.iova_to_phys_batch(ends)
        assert list(memoryview(found)) == [page.phys + page.size - 1 for page in pages]
        # Beside each page there is another one or nothing.
        ended = {page.end for page in pages}
        holes = [page.end for page in pages if page.end not in self.pages]
        holes += [page.start - 1 for page in pages if page.start not in ended | {self.base}]
        found = self.domain.iova_to_phys_batch(array.array("Q", holes))
        assert not any(memoryview(found))
        for page in pages[:8] + pages[-8:]:
            step = self.domain.walk(page.start)[-1]
            assert (step.kind, step.page_size, step.address) == ("page", page.size, page.phys)
            assert step.prot == rights(self.domain.format.name, page.prot)


def levels_of(domain: iommu.Domain) -> list[int]:
    """The sizes of pages that fill one entry."""
    if domain.format.name == "armv7s":
        return [4 << 10, 1 << 20]
    shift = {"16k": 14, "64k": 16}.get(domain.format.name.rpartition("-")[2], 12)
    return [1 << shift + level * (shift - 3) for level in range(4)]


def rights(name: str, prot: int) -> int:
    """What is left of rights in formats where whatever is there can be read."""
    if name.startswith(("x86_64", "riscv64", "armv8-s1", "armv7s")):
        return prot | iommu.READ
    return prot


def policies(name: str) -> list[str]:
    return ["whole", "whole_from_start", "refuse"] + ["split"] * FORMATS[name].can_split


@pytest.mark.parametrize(
    ("name", "policy"), [(name, policy) for name in FORMATS for policy in policies(name)]
)
@settings(max_examples=25)
@given(steps=programs, choice=choices)
def test_a_table_holds_the_pages_of_the_list(
    name: str, policy: iommu.PartialUnmap, steps: list[Map | Unmap], choice: int
) -> None:
    domain = iommu.Domain(name, chosen(name, choice, policy), partial_unmap=policy)
    memory = domain.memory
    twin = Twin(domain, policy)
    for step in steps:
        if isinstance(step, Map):
            twin.map(step)
        else:
            twin.unmap(step)
        if len(twin.pages) > 4 * MOST_PAGES:
            break
        twin.agree()
    for page in list(twin.pages.values()):
        assert domain.unmap(page.start, page.size) == page.size
    twin.pages.clear()
    assert memory.used == domain.table_bytes
    del domain, twin
    assert memory.used == 0
