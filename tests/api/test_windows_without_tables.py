# SPDX-License-Identifier: MIT
"""PAMU's windows, and sPAPR's as a domain of the IOMMU core."""

from __future__ import annotations

import errno

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvmiommu import System, iommu, pamu, semantics
from kvmiommu.spapr import SpaprContainer
from kvmiommu.vfio import Group

PAGE = 1 << 16
RAM = 1 << 20
PHYS = 1 << 32


def refused(error: int) -> pytest.RaisesExc[OSError]:
    return pytest.raises(OSError, check=lambda found: found.errno == error)


def spapr_domain(driver: str = "powernv") -> semantics.Domain:
    board = semantics.Board()
    board.iommu("phb", driver=driver, pgsize_bitmap=iommu.pages("4K", "64K"), bits=64)
    card = board.device("card", "phb")
    domain = board.domain(card)
    domain.attach(card)
    return domain


def test_no_iova_is_valid_before_there_is_a_window() -> None:
    domain = spapr_domain()
    assert domain.pgsize_bitmap == 0
    with refused(errno.ENODEV):
        domain.map(0, PHYS, PAGE)
    domain.create_window(1 << 28, 1 << 28, 16)
    assert domain.pgsize_bitmap == PAGE
    for iova, size in ((0, PAGE), ((1 << 29) - PAGE, 2 * PAGE), (1 << 29, PAGE), (1 << 28, 4096)):
        with refused(errno.EINVAL):
            domain.map(iova, PHYS, size)
    domain.map(1 << 28, PHYS, 2 * PAGE)
    with refused(errno.EEXIST):
        domain.map((1 << 28) + PAGE, PHYS, PAGE)
    assert domain.iova_to_phys((1 << 28) + PAGE + 5) == PHYS + PAGE + 5
    assert domain.unmap(1 << 28, 4 * PAGE) == 2 * PAGE
    assert domain.iova_to_phys(1 << 28) == 0


def test_windows_that_cannot_be() -> None:
    domain = spapr_domain()
    wrong = ((0, 3 << 16, 16), (PAGE, 1 << 20, 16), (0, PAGE, 11), (0, PAGE, 35), (0, 4096, 16))
    for start, size, shift in (*wrong, (0, 0, 12)):
        with refused(errno.EINVAL):
            domain.create_window(start, size, shift)
    domain.create_window(0, 1 << 30, 12)
    with refused(errno.EEXIST):
        domain.create_window(1 << 20, 1 << 20, 12)
    domain.create_window(1 << 59, 1 << 30, 16)
    assert domain.pgsize_bitmap == 4096 | PAGE
    with refused(errno.ENOSPC):
        domain.create_window(1 << 40, 1 << 20, 16)
    domain.map(1 << 59, PHYS, PAGE)
    domain.remove_window(1 << 59)
    assert domain.iova_to_phys(1 << 59) == 0
    with refused(errno.ENOENT):
        domain.remove_window(1 << 59)
    board = semantics.Board()
    board.iommu("a", driver="amd", pgsize_bitmap=4096)
    other = board.domain(board.device("card", "a"))
    with pytest.raises(ValueError, match="has page tables"):
        other.create_window(0, 1 << 20, 12)


pages = st.integers(0, 15)
maps = st.lists(st.tuples(pages, pages, st.integers(0, 3)), max_size=20)


@pytest.mark.parametrize("driver", ["powernv", "pseries"])
@given(program=maps)
def test_the_core_and_vfio_leave_the_same_entries(
    driver: str, program: list[tuple[int, int, int]]
) -> None:
    """Entry by entry: VFIO replaces what is there, so the core unmaps first."""
    name = {"powernv": "powernv9", "pseries": "pseries"}[driver]
    with System(name) as system:
        process = system.process()
        ram = process.mmap(RAM, 3, 0x22, align=2 << 20)
        container = SpaprContainer(process)
        group = Group(process, 1)
        group.set_container(container)
        container.set_iommu()
        container.remove_window(0)
        start = container.create_window(16, 1 << 28)
        container.register_memory(ram, RAM)
        container.map_dma(start, ram, PAGE)
        base = system.tces(1, 0, 0, 1)[0] & ~3
        container.unmap_dma(start, PAGE)

        domain = spapr_domain(driver)
        domain.create_window(start, 1 << 28, 16)
        for iova_page, page, rights in program:
            iova = start + iova_page * PAGE
            domain.unmap(iova, PAGE)
            if rights:
                domain.map(iova, base + page * PAGE, PAGE, rights)
                read, write = bool(rights & iommu.READ), bool(rights & iommu.WRITE)
                container.map_dma(iova, ram + page * PAGE, PAGE, read=read, write=write)
            else:
                container.unmap_dma(iova, PAGE)
        assert domain.tces(start, 16) == system.tces(1, 0, 0, 16)
        assert [domain.iova_to_phys(start + page * PAGE) for page in range(16)] == [
            entry & ~3 for entry in system.tces(1, 0, 0, 16)
        ]


def test_an_aperture_is_cut_into_windows() -> None:
    domain = pamu.Domain()
    with refused(errno.EINVAL):
        domain.set_windows(4)  # no aperture yet
    for start, size in ((0, 0), (0, 3 << 20), (4096, 1 << 20), (0, 2048)):
        with refused(errno.EINVAL):
            domain.set_geometry(start, size)
    domain.set_geometry(1 << 30, 1 << 30)
    with refused(errno.ENODEV):
        domain.enable_window(0, PHYS, 4096)
    for count in (0, 3, 512):
        with refused(errno.EINVAL):
            domain.set_windows(count)
    domain.set_windows(4)
    with refused(errno.ENODEV):
        domain.enable_dma()
    for number, phys, size in ((4, PHYS, 4096), (0, PHYS, 1 << 29), (0, PHYS + 4096, 8192)):
        with refused(errno.EINVAL):
            domain.enable_window(number, phys, size)
    domain.enable_window(1, PHYS, 1 << 20, iommu.READ)
    with refused(errno.EBUSY):
        domain.enable_window(1, PHYS, 1 << 20)
    first = (1 << 30) + (1 << 28)
    assert domain.iova_to_phys(first + 0x1234) == PHYS + 0x1234
    assert domain.iova_to_phys(first + (1 << 20)) == 0  # the window is not filled
    assert domain.iova_to_phys(first - 1) == 0
    assert domain.iova_to_phys(0) == domain.iova_to_phys(1 << 31) == 0
    assert domain.translate(first) is None  # no DMA yet
    domain.enable_dma()
    assert domain.translate(first) == (PHYS, iommu.READ)
    with refused(errno.EBUSY):
        domain.set_windows(2)
    with refused(errno.EBUSY):
        domain.set_geometry(0, 4096)
    domain.enable_window(3, PHYS, 4096)
    domain.disable_window(1)
    assert domain.translate(first) is None
    domain.enable_dma(False)
    domain.set_windows(1)
    domain.enable_window(0, PHYS, 1 << 20)
    domain.enable_dma()
    domain.disable_window(0)
    with refused(errno.EBUSY):
        domain.enable_window(0, PHYS, 1 << 20)
