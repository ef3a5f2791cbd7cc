# SPDX-License-Identifier: MIT
"""What page tables cost from Python, beside `os.getppid()` of the same run.

    pytest bench/test_page_tables.py --benchmark-enable --benchmark-only

A batch is 100 000 pages a round: divide by as many.
"""

from __future__ import annotations

import array
import os
from collections.abc import Callable

import pytest

from kvmiommu import iommu

PAGES = 100_000
PAGE = 4096

Benchmark = Callable[..., object]


@pytest.fixture(params=["vtdss", "amdv1", "armv8-s1"])
def domain(request: pytest.FixtureRequest) -> iommu.Domain:
    return iommu.Domain(request.param)


def test_getppid(benchmark: Benchmark) -> None:
    benchmark(os.getppid)


def test_one_page(benchmark: Benchmark, domain: iommu.Domain) -> None:
    """Two calls: map and unmap."""

    def pair() -> None:
        domain.map(PAGE, 1 << 42, PAGE)
        domain.unmap(PAGE, PAGE)

    benchmark(pair)


def test_iova_to_phys(benchmark: Benchmark, domain: iommu.Domain) -> None:
    domain.map(PAGE, 1 << 42, PAGE)
    benchmark(domain.iova_to_phys, PAGE)


def test_batch(benchmark: Benchmark, domain: iommu.Domain) -> None:
    """Scattered pages: 100 000 mapped in one call and unmapped in another."""
    iovas = array.array("Q", [(at * 7919 % PAGES) * PAGE for at in range(PAGES)])
    phys = array.array("Q", [(1 << 42) + at * PAGE for at in range(PAGES)])

    def pair() -> None:
        domain.map_batch(iovas, phys, PAGE)
        domain.unmap_batch(iovas, PAGE)

    benchmark(pair)
