# SPDX-License-Identifier: MIT
"""Page tables of every format beside a dictionary of pages, in random programs.

A program is a list of steps in pages: an iova is a page's number, a size an order, so that what
fails shrinks to small numbers. The dictionary knows the smallest pages alone and the rules of the
core: a map over a mapping is refused as a whole; an unmap goes page by page until a hole, and takes
larger pages whole.
"""

from __future__ import annotations

import array
import errno
from collections.abc import Iterable
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kvmiommu import iommu

FORMATS = iommu.formats()
WINDOW = 4096  # pages


@dataclass(frozen=True)
class Map:
    page: int
    phys: int
    count: int
    prot: int


@dataclass(frozen=True)
class Unmap:
    page: int
    count: int


@dataclass(frozen=True)
class Write:
    page: int


@dataclass(frozen=True)
class ReadDirty:
    clear: bool


# Mostly few pages at a few places, at times what large pages are made of.
page_numbers = st.one_of(
    st.integers(0, 24), st.builds(lambda at, off: at * 512 + off, st.integers(0, 7), st.just(0))
)
counts = st.one_of(st.integers(1, 8), st.builds(lambda order: 1 << order, st.integers(0, 9)))
prots = st.sampled_from((1, 2, 3))
maps = st.builds(Map, page_numbers, st.builds(lambda at: at + 4096, page_numbers), counts, prots)
unmaps = st.builds(Unmap, page_numbers, counts)
programs = st.lists(st.one_of(maps, maps, unmaps), max_size=20)
dirty_programs = st.lists(
    st.one_of(maps, unmaps, st.builds(Write, page_numbers), st.builds(ReadDirty, st.booleans())),
    max_size=20,
)


@dataclass
class Twin:
    """What should be mapped: page number to (number of the physical page, rights)."""

    pages: dict[int, tuple[int, int]] = field(default_factory=dict)

    def map(self, step: Map) -> bool:
        wanted = range(step.page, step.page + step.count)
        if any(page in self.pages for page in wanted):
            return False
        for at, page in enumerate(wanted):
            self.pages[page] = (step.phys + at, step.prot)
        return True


def rights(name: str, prot: int) -> int:
    """What is left of rights in formats where whatever is there can be read."""
    if name.startswith(("x86_64", "riscv64", "armv8-s1", "armv7s")):
        return prot | iommu.READ
    return prot


def make(name: str, unit: int | None = None) -> tuple[iommu.Domain, int, int]:
    """A table with one page size or with all, its smallest page and where to begin."""
    domain = iommu.Domain(name, pgsize_bitmap=unit)
    page = domain.pgsize_bitmap & -domain.pgsize_bitmap
    return domain, page, domain.aperture[0]


def agree(domain: iommu.Domain, start: int, unit: int, twin: Twin, pages: set[int]) -> None:
    """Holds the table against the dictionary at some pages."""
    for page in sorted(pages):
        found = domain.translate(start + page * unit + 3)
        expected = twin.pages.get(page)
        if expected is None:
            assert found is None, page
        else:
            phys, prot = expected
            assert found == (phys * unit + 3, rights(domain.format.name, prot)), page


def agree_everywhere(domain: iommu.Domain, start: int, unit: int, twin: Twin) -> None:
    pages = range(2 * WINDOW)
    found = present(domain, start, unit, pages)
    assert found == sorted(twin.pages)
    agree(domain, start, unit, twin, set(found))


def present(domain: iommu.Domain, start: int, unit: int, pages: Iterable[int]) -> list[int]:
    """Those of some pages that lead somewhere."""
    pages = list(pages)
    iovas = array.array("Q", [start + page * unit for page in pages])
    phys = domain.iova_to_phys_batch(iovas)
    return [page for page, there in zip(pages, memoryview(phys), strict=True) if there]


def run(domain: iommu.Domain, start: int, unit: int, steps: list[Map | Unmap]) -> Twin:
    twin = Twin()
    seen: set[int] = set(range(4))
    for step in steps:
        end = step.page + step.count
        seen |= {max(step.page - 1, 0), step.page, end - 1, end}
        if isinstance(step, Map):
            fits = twin.map(step)
            assert map_answer(domain, start, unit, step) == (0 if fits else errno.EEXIST), step
        else:
            gone = domain.unmap(start + step.page * unit, step.count * unit)
            assert gone % unit == 0
            follow(domain, start, unit, twin, step, gone // unit)
        agree(domain, start, unit, twin, seen)
    agree_everywhere(domain, start, unit, twin)
    return twin


def map_answer(domain: iommu.Domain, start: int, unit: int, step: Map) -> int:
    try:
        domain.map(start + step.page * unit, step.phys * unit, step.count * unit, step.prot)
    except OSError as refused:
        return refused.errno or 0
    return 0


def follow(domain: iommu.Domain, start: int, unit: int, twin: Twin, step: Unmap, gone: int) -> None:
    """Takes out of the dictionary what an unmap took.

    What it may take: from its start on, in rising order, and beyond either end only the rest of a
    page that it touched. How far it came must fit what it answered.
    """
    before = sorted(twin.pages)
    left = present(domain, start, unit, before)
    taken = sorted(set(before) - set(left))
    within = [page for page in taken if step.page <= page < step.page + step.count]
    assert len(taken) <= gone
    if taken:
        assert within, "it took something and nothing of what it was asked for"
        # What remains lies not between pages that went, in what was asked for; but the core goes
        # on behind its start by as much as went, so pages that went before the start are missed
        # behind it (drivers/iommu/iommu.c: __iommu_unmap).
        missed = [page for page in left if step.page <= page <= max(within)]
        assert len(missed) <= len([page for page in taken if page < step.page])
    # The first page goes if it is there.
    assert (step.page in twin.pages) <= (step.page in taken)
    for page in taken:
        del twin.pages[page]


@pytest.mark.parametrize("name", FORMATS)
@settings(max_examples=40)
@given(steps=programs)
def test_a_table_and_a_dictionary_agree(name: str, steps: list[Map | Unmap]) -> None:
    domain, unit, start = make(name)
    run(domain, start, unit, steps)
    assert domain.memory.used == domain.table_bytes


@pytest.mark.parametrize("name", FORMATS)
@settings(max_examples=40)
@given(steps=programs)
def test_nothing_is_left_of_a_table(name: str, steps: list[Map | Unmap]) -> None:
    domain, unit, start = make(name, FORMATS[name].page_sizes & -FORMATS[name].page_sizes)
    memory = domain.memory
    twin = run(domain, start, unit, steps)
    for page in sorted(twin.pages):
        assert domain.unmap(start + page * unit, unit) == unit
    agree_everywhere(domain, start, unit, Twin())
    del domain
    assert memory.used == 0


def without_holes(steps: list[Map | Unmap]) -> list[Map | Unmap]:
    """The same steps, each unmap cut down to the pages that are mapped one behind the other.

    What an unmap of a hole takes depends on how large the tables are.
    """
    twin = Twin()
    cut: list[Map | Unmap] = []
    for step in steps:
        if isinstance(step, Map):
            twin.map(step)
            cut.append(step)
            continue
        count = 0
        while count < step.count and step.page + count in twin.pages:
            del twin.pages[step.page + count]
            count += 1
        if count:
            cut.append(Unmap(step.page, count))
    return cut


@settings(max_examples=25)
@given(steps=programs)
def test_the_same_program_gives_the_same_translations(steps: list[Map | Unmap]) -> None:
    """With pages of one size and no holes the formats cannot differ but in that size."""
    answers = set()
    for name, about in FORMATS.items():
        domain, unit, start = make(name, about.page_sizes & -about.page_sizes)
        twin = run(domain, start, unit, without_holes(steps))
        answers.add(tuple(sorted((page, phys) for page, (phys, _) in twin.pages.items())))
    assert len(answers) == 1


@pytest.mark.parametrize("name", [name for name, about in FORMATS.items() if about.can_track_dirty])
@settings(max_examples=40)
@given(steps=dirty_programs)
def test_written_pages_and_a_set_agree(
    name: str, steps: list[Map | Unmap | Write | ReadDirty]
) -> None:
    unit = FORMATS[name].page_sizes & -FORMATS[name].page_sizes
    domain = iommu.Domain(name, pgsize_bitmap=unit, dirty=True)
    start = domain.aperture[0]
    domain.set_dirty_tracking(True)
    twin = Twin()
    # Some formats' writeable pages begin as written to.
    born_dirty = name.startswith(("armv8", "x86_64"))
    dirty: set[int] = set()
    for step in steps:
        if isinstance(step, Map):
            if twin.map(step):
                domain.map(start + step.page * unit, step.phys * unit, step.count * unit, step.prot)
                if born_dirty and step.prot & iommu.WRITE:
                    dirty |= set(range(step.page, step.page + step.count))
        elif isinstance(step, Unmap):
            follow(
                domain,
                start,
                unit,
                twin,
                step,
                domain.unmap(start + step.page * unit, step.count * unit) // unit,
            )
            dirty &= set(twin.pages)
        elif isinstance(step, Write):
            found = domain.translate(start + step.page * unit)
            if found and found[1] & iommu.WRITE:
                domain.note_write(start + step.page * unit)
                dirty.add(step.page)
        else:
            read = domain.read_dirty(start, 2 * WINDOW * unit, clear=step.clear)
            assert {(iova - start) // unit for iova in read} == dirty
            if step.clear:
                dirty.clear()
    agree_everywhere(domain, start, unit, twin)
