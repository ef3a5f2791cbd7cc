# SPDX-License-Identifier: MIT
"""A range is a pair of addresses, both of them in it; what has addresses is shown in hex."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis.vendor.pretty import pretty

from kvmiommu import DmaFault, StaleUse, iommu, kvm, pci, spapr, vfio
from kvmiommu._shown import Hex, shown
from kvmiommu.ranges import Range


def test_a_range_is_the_pair_of_its_ends() -> None:
    start, last = each = Range(0x1000, 0x1FFF)
    assert each == (0x1000, 0x1FFF) == (start, last)
    assert Range.from_size(0x1000, 0x1000) == each
    assert each.size == 0x1000


def test_a_range_without_bytes_is_refused() -> None:
    with pytest.raises(ValueError, match="0x1000"):
        Range.from_size(0x1000, 0)


@pytest.mark.parametrize(
    ("other", "contains", "overlap"),
    [
        ((0x1000, 0x1FFF), True, Range(0x1000, 0x1FFF)),
        ((0x1800, 0x1800), True, Range(0x1800, 0x1800)),
        ((0x1FFF, 0x2000), False, Range(0x1FFF, 0x1FFF)),
        ((0x2000, 0x2FFF), False, None),
        ((0, 0xFFF), False, None),
        ((0, 0x1000), False, Range(0x1000, 0x1000)),
    ],
)
def test_ranges_meet_where_they_share_an_address(
    other: tuple[int, int], contains: bool, overlap: Range | None
) -> None:
    each = Range(0x1000, 0x1FFF)
    assert each.contains(other) is contains
    assert each.overlaps(other) is (overlap is not None)
    assert each.intersection(other) == overlap
    assert each.contains(other[0]) is (0x1000 <= other[0] <= 0x1FFF)


@shown
@dataclass(frozen=True, slots=True, repr=False)
class _Shown:
    name: str
    where: Hex
    count: int
    maybe: Hex | None
    sizes: tuple[Hex, ...]


@shown
class _Tuple(NamedTuple):
    where: Hex
    count: int


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (Range(0x1000, 0x1FFF), "Range(0x1000, 0x1fff)"),
        (
            _Shown("a", 0x10, 16, None, (0x1000, 0)),
            "_Shown(name='a', where=0x10, count=16, maybe=None, sizes=(0x1000, 0x0))",
        ),
        (_Tuple(0x10, 16), "_Tuple(where=0x10, count=16)"),
        (
            DmaFault(1, "0000:00:02.0", 0x1000, "read", "not mapped"),
            "DmaFault(sequence=1, device='0000:00:02.0', iova=0x1000, access='read', "
            "cause='not mapped')",
        ),
        (
            StaleUse(1, "0000:00:02.0", 0x1000, "write", 2, Range(0x1000, 0x1FFF)),
            "StaleUse(sequence=1, device='0000:00:02.0', iova=0x1000, access='write', unmap=2, "
            "unmapped=Range(0x1000, 0x1fff))",
        ),
        (
            spapr.Window(1 << 59, 16, 0x100, 1),
            "Window(start=0x800000000000000, page_shift=16, pages=0x100, levels=1)",
        ),
        (
            vfio.IommuInfo(0x1000, 9, (Range(0, 0xFFF),), None),
            "IommuInfo(iova_pgsizes=0x1000, dma_avail=9, iova_ranges=(Range(0x0, 0xfff),), "
            "max_dirty_bitmap_size=None)",
        ),
        (
            kvm.TceState(0x80000001, None, 16, 0, 0x100, {3: 0x10003}),
            "TceState(liobn=0x80000001, group=None, page_shift=16, offset=0x0, size=0x100, "
            "entries={0x3: 0x10003})",
        ),
        (kvm.Hypercall(32, (0x80000001, 0)), "Hypercall(H_PUT_TCE, (0x80000001, 0x0))"),
        (kvm.HypercallAnswer(32, -4, 0), "HypercallAnswer(H_PUT_TCE, r3=H_PARAMETER, r4=0x0)"),
        (
            pci.Bar(4096, memory=((0, 0xFFF),)),
            "Bar(size=0x1000, io=False, prefetchable=False, wide=False, memory=((0x0, 0xfff),))",
        ),
    ],
)
def test_addresses_and_sizes_are_hex_for_people_and_for_hypothesis(
    value: object, text: str
) -> None:
    assert repr(value) == text
    assert pretty(value) == text


def test_a_walk_and_an_aperture_are_shown_in_hex() -> None:
    domain = iommu.Domain("vtdss", iommu.pages("4K"))
    domain.map(0x1000, 0x10000, 0x1000)
    assert "address=0x10000" in repr(domain.walk(0x1000)[-1])
    assert domain.aperture == (0, domain.aperture.last)
    assert repr(domain.aperture).startswith("Range(0x0, 0x")


def test_a_range_is_of_integers_and_not_empty() -> None:
    with pytest.raises(TypeError, match="must be integers"):
        Range(0.5, 1)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="one address at least"):
        Range(5, 3)
    with pytest.raises(ValueError, match="one address at least"):
        Range(0, 10).overlaps((5, 3))


def test_an_address_is_in_a_range_as_it_contains_it() -> None:
    each = Range(0x1000, 0x1FFF)
    assert 0x1800 in each
    assert 0x2000 not in each
    assert (0x1000, 0x1FFF) in each
    assert each.contains(np.uint64(0x1000))
