# SPDX-License-Identifier: MIT
"""Dirty pages: tracked, read, and handed over by an unmap."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvmiommu import Range
from kvmiommu.vfio import Bitmap
from recorded import recorded, result
from vfio_scene import Scene, scene

PAGE = 4096


@pytest.fixture
def running() -> Iterator[Scene]:
    """0x100000 and 0x120000 are mapped, the second for reading alone, as in the transcript."""
    with scene(1) as running:
        buffer = running.process.mmap(0x100000, 3, 0x22)
        running.container.map_dma(0x100000, buffer, 0x20000)
        running.container.map_dma(0x120000, buffer + 0x20000, 0x10000, write=False)
        yield running


def refused(error: int) -> pytest.RaisesExc[OSError]:
    return pytest.raises(OSError, check=lambda found: found.errno == error)


def test_the_calls_of_the_transcript_come_to_the_same(running: Scene) -> None:
    container = running.container
    calls: list[Callable[[], object]] = [
        lambda: container.dirty_bitmap(0x100000, 0x20000),
        container.stop_dirty_pages,
        container.start_dirty_pages,
        container.start_dirty_pages,
        lambda: container.dirty_bitmap(0x100000, 0x20000),
        lambda: container.dirty_bitmap(0x100000, 0x30000),
        lambda: container.dirty_bitmap(0x100000, 0x30000, page_size=0x2000),
        lambda: container.dirty_bitmap(0x110000, 0x10000),
        lambda: container.dirty_bitmap(0x100000, 0),
        lambda: container.dirty_bitmap(0x100000, 0x10800),
        container.stop_dirty_pages,
    ]
    results = recorded("q35-intel/type1-dirty.uapi", "VFIO_IOMMU_DIRTY_PAGES")
    # Left out: an argument that is too short, wrong flags, and bitmaps of a wrong size.
    expected = results[4:11] + results[13:16] + results[17:]
    assert len(results) == 18
    assert [result(call) for call in calls] == expected


def test_the_bitmap_is_that_of_the_transcript(running: Scene) -> None:
    running.container.start_dirty_pages()
    dirty = running.container.dirty_bitmap(0x100000, 0x20000)
    assert dirty.data == bytes.fromhex("ffffffff00000000")
    assert [*dirty.ranges()] == [Range(0x100000, 0x11FFFF)]
    dirty = running.container.dirty_bitmap(0x100000, 0x30000)
    assert dirty.data == bytes.fromhex("ffffffffffff0000")
    assert len(dirty) == 48


def test_an_unmap_hands_over_its_bitmap(running: Scene) -> None:
    container = running.container
    with refused(errno.EINVAL):
        container.unmap_dma(0x100000, 0x20000, bitmap=PAGE)  # not tracked
    container.start_dirty_pages()
    with refused(errno.EINVAL):
        container.unmap_dma(0x100000, 0x20000, bitmap=2 * PAGE)
    with refused(errno.EINVAL):
        container.unmap_dma(0x100000, 0x20000, bitmap=0)
    with refused(errno.EINVAL):
        container.unmap_dma(0x110000, 0x10000, bitmap=PAGE)  # would cut
    dirty = container.unmap_dma(0x100000, 0x20000, bitmap=PAGE)
    assert dirty.data == bytes.fromhex("ffffffff00000000")
    assert (dirty.unmapped, len(dirty), dirty.page_size) == (0x20000, 32, PAGE)
    container.stop_dirty_pages()
    with refused(errno.EINVAL):
        container.unmap_dma(0x120000, 0x10000, bitmap=PAGE)
    assert container.unmap_dma(0x120000, 0x10000) == 0x10000


def test_a_call_leaves_no_memory_mapped(running: Scene) -> None:
    before = running.process.mapped_bytes
    with refused(errno.EINVAL):
        running.container.dirty_bitmap(0x100000, 0x20000)
    running.container.start_dirty_pages()
    running.container.dirty_bitmap(0x100000, 0x20000)
    running.container.unmap_dma(0x100000, 0x20000, bitmap=PAGE)
    assert running.process.mapped_bytes == before


def test_user_addresses_change(running: Scene) -> None:
    container, process = running.container, running.process
    elsewhere = process.mmap(0x20000, 3, 0x22)
    with refused(errno.EINVAL):
        container.update_vaddr(0x100000, elsewhere, 0x20000)  # its address is valid
    assert container.invalidate_vaddr(0x100000, 0x20000) == 0x20000
    with refused(errno.EINVAL):
        container.invalidate_vaddr(0x100000, 0x20000)
    container.update_vaddr(0x100000, elsewhere, 0x20000)
    assert container.unmap_all() == 0x30000


@given(st.lists(st.booleans(), min_size=1, max_size=300), st.integers(0, 3))
def test_ranges_pages_and_count_agree(bits: list[bool], behind: int) -> None:
    """Bits behind the range, which a bug of the kernel sets, are not looked at."""
    number = sum(bit << page for page, bit in enumerate(bits + [True] * behind))
    data = number.to_bytes((len(bits) + behind + 63) // 64 * 8, "little")
    bitmap = Bitmap(0x40000, len(bits) * PAGE, PAGE, data)
    pages = [0x40000 + page * PAGE for page, bit in enumerate(bits) if bit]
    assert list(bitmap) == pages
    assert len(bitmap) == len(pages)
    assert bool(bitmap) == bool(pages)
    ranges = list(bitmap.ranges())
    assert [page for each in ranges for page in range(each.start, each.last + 1, PAGE)] == pages
    # As long as they can be: no range begins where another ends.
    assert not {each.start for each in ranges} & {each.last + 1 for each in ranges}
    everywhere = range(0x40000 - PAGE, 0x40000 + (len(bits) + 2) * PAGE, PAGE // 2)
    assert [iova for iova in everywhere if iova in bitmap] == [
        iova for page in pages for iova in (page, page + PAGE // 2)
    ]


def test_a_range_has_a_size() -> None:
    assert Range(0x1000, 0x2FFF).size == 0x2000
