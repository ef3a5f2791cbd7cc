# SPDX-License-Identifier: MIT
"""A table cannot be allocated: each allocation of a call fails in turn, and the call did nothing.

What a call maps, and what was mapped before, are lists of runs of pages: (place, address, count),
counted in smallest pages.
"""

from __future__ import annotations

import array
import contextlib
import errno
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kvmiommu import iommu

FORMATS = iommu.formats()
#: More than any call here can need.
MOST_ALLOCATIONS = 200

# Places in several tables of the lowest levels.
places = st.builds(
    lambda table, at: table * 2048 + at, st.integers(0, 20), st.sampled_from((0, 1, 510, 511))
)
runs = st.lists(
    st.tuples(places, st.integers(0, 8192), st.integers(1, 5)),
    max_size=4,
    unique_by=lambda run: run[0],
)

Run = tuple[int, int, int]
Call = Callable[[iommu.Domain, list[Run]], object]


def unit(domain: iommu.Domain) -> int:
    return domain.pgsize_bitmap & -domain.pgsize_bitmap


def iova(domain: iommu.Domain, place: int) -> int:
    return domain.aperture[0] + place * unit(domain)


def one_range(domain: iommu.Domain, wanted: list[Run]) -> object:
    """From the first place over as many pages as there are tables."""
    start = min(place for place, _, _ in wanted)
    return domain.map(iova(domain, start), 64 * unit(domain), 2048 * len(wanted) * unit(domain))


def pieces(domain: iommu.Domain, wanted: list[Run]) -> object:
    """One behind the other, over a border between tables."""
    page = unit(domain)
    return domain.map_sg(
        iova(domain, 2046), [((phys + 1) * page, count * page) for _, phys, count in wanted]
    )


def batch(domain: iommu.Domain, wanted: list[Run]) -> object:
    page = unit(domain)
    return domain.map_batch(
        array.array("Q", [iova(domain, place) for place, _, _ in wanted]),
        array.array("Q", [(phys + 1) * page for _, phys, _ in wanted]),
        page,
    )


#: Wherever a run may begin or end.
WINDOW = [
    table * 2048 + at
    for table in range(30)
    for at in (*range(8), *range(508, 518), *range(1023, 1025), *range(2040, 2048))
]


def translations(domain: iommu.Domain) -> list[int]:
    found = domain.iova_to_phys_batch(array.array("Q", [iova(domain, page) for page in WINDOW]))
    return list(memoryview(found))


def made(name: str, before: list[Run]) -> iommu.Domain:
    domain = iommu.Domain(name)
    page = unit(domain)
    for place, phys, count in before:
        with contextlib.suppress(FileExistsError):
            domain.map(iova(domain, place), (phys + 1) * page, count * page)
    return domain


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("call", [one_range, pieces, batch], ids=lambda call: call.__name__)
@settings(max_examples=6)
@given(before=runs, wanted=runs.filter(bool))
def test_a_call_that_fails_did_nothing(
    name: str, call: Call, before: list[Run], wanted: list[Run]
) -> None:
    for nth in range(1, MOST_ALLOCATIONS):
        # A new one each time: tables that a call has made stay, and need not be allocated again.
        domain = made(name, before)
        memory, found = domain.memory, translations(domain)
        domain.fail_nth(nth)
        answer = 0
        try:
            call(domain, wanted)
        except OSError as refused:
            answer = refused.errno or 0
        assert (translations(domain) == found) == (answer != 0)
        assert memory.used == domain.table_bytes
        del domain
        assert memory.used == 0
        if answer != errno.ENOMEM:
            assert answer in (0, errno.EEXIST)
            return
    pytest.fail("there is always another allocation")


@pytest.mark.parametrize("name", FORMATS)
def test_no_table_is_left_of_what_an_unmap_covers(name: str) -> None:
    """As many pages as a table of the lowest level has entries, in one call."""
    page = FORMATS[name].page_sizes & -FORMATS[name].page_sizes
    domain = iommu.Domain(name, pgsize_bitmap=page)
    start = domain.aperture[0]

    def table_of(iova: int) -> int:
        return domain.walk(iova)[-1].table

    most = 1 << 14
    domain.map(start, page, most * page)
    pages = next(n for n in range(1, most) if table_of(start + n * page) != table_of(start))
    depth, before = len(domain.walk(start)), domain.table_bytes
    for at in range(0, most, pages):
        assert domain.unmap(start + at * page, pages * page) == pages * page
        assert len(domain.walk(start + at * page)) < depth
    assert before - domain.table_bytes >= most // pages * 4096
    domain.map(start, page, most * page)
    assert domain.table_bytes == before
