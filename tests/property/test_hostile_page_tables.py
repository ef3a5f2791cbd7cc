# SPDX-License-Identifier: MIT
"""Any call of a page table with any number: an errno or a Python error, and nothing is left over.

A number is a power of two or a few bytes beside it, so that what fails shrinks to one that can be
read. Memory is small: then to ask for all there is costs nothing.
"""

from __future__ import annotations

import array
import contextlib
import sys
import threading
from collections.abc import Callable, Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kvmiommu import iommu

FORMATS = iommu.formats()
RAM = 4 << 20

numbers = st.one_of(
    st.builds(
        lambda bit, beside: max((1 << bit) + beside, 0),
        st.integers(0, 64),
        st.sampled_from((0, 0, -1, 1, -4096, 4096)),
    ).filter(lambda number: number < 1 << 64),
    st.integers(0, 16).map(lambda page: page << 12),
)
prots = st.one_of(st.integers(0, 7), numbers.map(lambda number: number & 0xFFFFFFFF))
some_numbers = st.lists(numbers, max_size=5)

#: The name of a method and a strategy for each argument.
CALLS: dict[str, tuple[st.SearchStrategy[object], ...]] = {
    "map": (numbers, numbers, numbers, prots),
    "unmap": (numbers, numbers),
    "map_sg": (numbers, st.lists(st.tuples(numbers, numbers), max_size=4), prots),
    "map_batch": (some_numbers, some_numbers, numbers, prots),
    "unmap_batch": (some_numbers, numbers),
    "iova_to_phys_batch": (some_numbers,),
    "iova_to_phys": (numbers,),
    "translate": (numbers,),
    "walk": (numbers,),
    "note_write": (numbers,),
    "set_dirty_tracking": (st.booleans(),),
    "read_dirty": (numbers, numbers),
    "fail_nth": (st.integers(0, 4),),
}
calls = st.lists(
    st.sampled_from(sorted(CALLS)).flatmap(
        lambda name: st.tuples(st.just(name), st.tuples(*CALLS[name]))
    ),
    max_size=12,
)


def call(domain: iommu.Domain, name: str, arguments: tuple[object, ...]) -> None:
    """ValueError: ranges that are none, arrays of unlike lengths."""
    given_ones = [
        array.array("Q", argument) if isinstance(argument, list) and "batch" in name else argument
        for argument in arguments
    ]
    with contextlib.suppress(OSError, ValueError):
        getattr(domain, name)(*given_ones)


def make(name: str, memory: iommu.Memory) -> iommu.Domain:
    about = FORMATS[name]
    return iommu.Domain(name, memory=memory, dirty=about.can_track_dirty)


@pytest.mark.parametrize("name", FORMATS)
@settings(max_examples=60)
@given(program=calls)
def test_any_numbers_leave_nothing(
    name: str, program: list[tuple[str, tuple[object, ...]]]
) -> None:
    memory = iommu.Memory(RAM)
    domain = make(name, memory)
    for each, arguments in program:
        call(domain, each, arguments)
        assert memory.used == domain.table_bytes
    del domain
    assert memory.used == 0


# --- several threads where they should not be ---


def every_64k(at: int, size: int) -> array.array[int]:
    return array.array("Q", range(at, at + size, 1 << 16))


Step = Callable[[iommu.Domain, int], object]
#: What threads do to the same few pages at once; the number is a page's.
STEPS: list[Step] = [
    lambda domain, at: domain.map(at, 1 << 20, 1 << 21),
    lambda domain, at: domain.map(at & -(1 << 21), 1 << 21, 1 << 21),
    lambda domain, at: domain.unmap(at, 1 << 16),
    lambda domain, at: domain.unmap(at & -(1 << 22), 1 << 23),
    lambda domain, at: domain.unmap_batch(every_64k(at, 1 << 18), 1 << 16),
    lambda domain, at: domain.iova_to_phys_batch(every_64k(at, 1 << 22)),
    lambda domain, at: domain.walk(at),
    lambda domain, at: domain.translate(at),
    lambda domain, at: domain.note_write(at),
    lambda domain, at: domain.read_dirty(at & -(1 << 22), 1 << 22),
    lambda domain, at: domain.table_bytes,
]


def run_threads(domain: iommu.Domain, base: int) -> list[BaseException]:
    """Four threads, each with steps of its own; what they raised that nobody expects."""
    start = threading.Barrier(4)
    unexpected: list[BaseException] = []

    def work(seed: int) -> None:
        start.wait()
        try:
            for _ in range(400):
                seed = seed * 6364136223846793005 + 1442695040888963407 & (1 << 64) - 1
                with contextlib.suppress(OSError):
                    STEPS[(seed >> 33) % len(STEPS)](domain, base + ((seed >> 50) % 128 << 16))
        except BaseException as error:
            unexpected.append(error)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return unexpected


@pytest.fixture
def _many_switches() -> Iterator[None]:
    """Threads change places often, not after five milliseconds."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


@pytest.mark.usefixtures("_many_switches")
@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("policy", ["whole", "split"])
def test_threads_in_each_others_way_leave_nothing(name: str, policy: iommu.PartialUnmap) -> None:
    """What they find is their own race; the table stays a table."""
    about = FORMATS[name]
    if policy == "split" and not about.can_split:
        policy = "refuse"
    domain = iommu.Domain(name, partial_unmap=policy, dirty=about.can_track_dirty)
    memory, base = domain.memory, domain.aperture[0]
    if about.can_track_dirty:
        domain.set_dirty_tracking(True)
    assert run_threads(domain, base) == []
    assert memory.used == domain.table_bytes
    for at in range(base, base + (1 << 24), 1 << 16):
        domain.unmap(at, 1 << 16)
        assert domain.translate(at) is None or policy == "refuse"
    del domain
    assert memory.used == 0
