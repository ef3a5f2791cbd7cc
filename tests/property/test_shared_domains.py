# SPDX-License-Identifier: MIT
"""Domains under each of the semantics of April 2015 beside one dictionary of pages.

A program attaches and detaches devices behind two or three unlike IOMMUs, maps, unmaps whole
mappings and parts of them, and adds an IOMMU late, in any order. The model knows pages of 4 KiB,
the map call that each is of and the page sizes that the domain had then; the set of attached
devices; and the table of docs/explanation/semantics.md. It has no page tables.
"""

from __future__ import annotations

import contextlib
import errno
import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kvmiommu import semantics

K4, M2, G1 = 4 << 10, 2 << 20, 1 << 30
PHYS = 1 << 34
BEYOND_39_BITS = (1 << 40) // K4  # a page's number
DRIVERS: tuple[semantics.IommuDriver, ...] = ("intel", "amd", "virtio", "smmu_v3", "riscv")
PAIRS = list(itertools.combinations_with_replacement(DRIVERS, 2))
#: Semantics whose domains are shared, with the choices that they leave open.
RULES: list[tuple[semantics.Semantics, semantics.AttachAfterMap]] = [
    ("operations", "refuse"),
    ("operations", "rebuild"),
    ("tables", "refuse"),
    ("instance", "refuse"),
    *(
        (name, after)
        for name in ("common", "legacy")
        for after in ("refuse", "rebuild", "second-table")
    ),
    ("domain", "rebuild"),
    ("domain", "second-table"),
]


@dataclass(frozen=True)
class Unit:
    """An IOMMU: `late` ones are put on the board by a step of the program."""

    driver: semantics.IommuDriver
    sizes: int
    bits: int

    @property
    def pages(self) -> int:
        """How many pages of 4 KiB it translates; RISC-V's driver keeps to the lower half."""
        return 1 << (self.bits - 12 - (self.driver == "riscv"))

    def takes(self, other: Unit) -> bool:
        """Does the driver take another IOMMU's device into a domain that was made for this one?"""
        if self.driver == "intel":
            return other.bits >= self.bits and not self.sizes & ~other.sizes
        if self.driver == "riscv":
            return other.bits >= self.bits
        return self.driver == "amd"


@dataclass
class Page:
    phys: int
    call: int  # the number of the map call
    sizes: int  # that the domain had


@dataclass
class Model:
    """What a domain must do."""

    name: str
    after: str
    units: list[Unit]  # on the board
    made_for: Unit
    pages: dict[int, Page] = field(default_factory=dict)
    attached: set[int] = field(default_factory=set)  # units, with one device each
    apart: set[int] = field(default_factory=set)  # of these, those with a table of their own
    has_main = False  # under `domain`: is there a table for made_for?

    def in_common(self, *joining: Unit) -> int:
        """The page sizes of the IOMMUs whose tables have the same."""
        common = -1
        if self.name == "domain":
            common = self.made_for.sizes
        for unit in [*(self.units[each] for each in self.attached - self.apart), *joining]:
            if self.name != "domain" or not self.own(unit):
                common &= unit.sizes
        return common

    def own(self, unit: Unit) -> bool:
        return unit is self.made_for or self.made_for.takes(unit)

    def driver_sizes(self) -> int:
        common = -1
        for unit in self.units:
            if unit.driver == self.made_for.driver:
                common &= unit.sizes
        return common

    def sizes_in_use(self) -> int:
        """The largest block around each page that is all there, of one map call."""
        used = 0
        for number, page in self.pages.items():
            for size in (G1, M2, K4):
                start = number - number % (size // K4)
                phys = page.phys - (number - start) * K4
                if (
                    page.sizes & size
                    and phys % size == 0
                    and all(
                        (found := self.pages.get(start + at)) is not None
                        and found.call == page.call
                        and found.phys == phys + at * K4
                        for at in range(size // K4)
                    )
                ):
                    used |= size
                    break
        return used

    def is_multiple(self, size: int) -> bool:
        """Is everything that is mapped in whole pages of a size?"""
        return all(
            (found := self.pages.get(start + at)) is not None
            and found.call == page.call
            and (page.phys - (number - start) * K4) % size == 0
            for number, page in self.pages.items()
            for start in [number - number % (size // K4)]
            for at in range(size // K4)
        )

    def attach(self, index: int) -> bool:
        """The rule of the table: may the device behind a unit come?"""
        unit = self.units[index]
        if index in self.attached:
            return True
        if self.name not in ("common", "tables") and unit.driver != self.made_for.driver:
            return False
        if self.name == "instance" and unit is not self.made_for:
            return False
        smallest = unit.sizes & -unit.sizes
        beyond = bool(self.pages) and max(self.pages) >= unit.pages
        if self.name == "domain" and self.own(unit):
            if not self.has_main and (beyond or not self.is_multiple(smallest)):
                return False
            self.has_main = True
            self.attached.add(index)
            return True
        if beyond:
            return False
        if self.name not in ("tables", "instance"):
            common = self.in_common(unit)
            usable = common & self.driver_sizes() if self.name == "operations" else common
            lacking = self.sizes_in_use() & ~common or self.name == "domain"
            after = "refuse" if self.name == "operations" else self.after
            if not usable or lacking:
                has_table = bool(self.attached or self.pages)
                if after == "second-table" and (has_table or self.name == "domain"):
                    if not self.is_multiple(smallest):
                        return False
                    self.apart.add(index)
                    self.attached.add(index)
                    self.settle()
                    return True
                if not usable or after == "refuse":
                    return False
                if not self.is_multiple(common & -common):
                    return False
                self.has_main = True
                for page in self.pages.values():
                    page.sizes = common
        elif not self.is_multiple(smallest):
            return False
        self.attached.add(index)
        return True

    def settle(self) -> None:
        """Where only tables apart are left, the first of them no longer is."""
        if not self.attached or self.attached != self.apart:
            return
        if self.name == "domain":
            self.has_main = False
        else:
            self.apart.clear()
            for page in self.pages.values():
                page.sizes = -1

    def bitmap(self) -> int | None:
        """What the domain shows; None where tables apart make it more than one set."""
        if self.name == "operations":
            return self.driver_sizes()
        if self.name == "instance":
            return self.made_for.sizes
        if not self.attached or self.apart:
            return None
        if self.name != "tables":
            return self.in_common()
        sizes = {self.units[each].sizes for each in self.attached}
        if len(sizes) == 1:
            return sizes.pop()
        return (1 << 52) - max(each & -each for each in sizes)

    def maps(self, number: int, phys: int, count: int, bitmap: int) -> bool:
        smallest = bitmap & -bitmap
        units = [self.units[each] for each in self.attached]
        if self.name == "domain":
            units = [unit for unit in units if not self.own(unit)]
            units += [self.made_for] if self.has_main else []
        within = all(number + count <= unit.pages for unit in units)
        aligned = not (number * K4 | phys | count * K4) % smallest
        return (
            within and aligned and not any(at in self.pages for at in range(number, number + count))
        )


class Play:
    """A board, a domain, and the model."""

    def __init__(
        self,
        name: semantics.Semantics,
        after: semantics.AttachAfterMap,
        units: list[Unit],
    ) -> None:
        self.board = semantics.Board(name, attach_after_map=after)
        self.model = Model(name, after, [], units[0])
        self.devices: list[semantics.Device] = []
        for unit in units:
            self.add(unit)
        self.domain = self.board.domain(self.devices[0])
        self.calls = 0
        self.check()

    def add(self, unit: Unit) -> None:
        number = len(self.devices)
        self.board.iommu(f"u{number}", driver=unit.driver, pgsize_bitmap=unit.sizes, bits=unit.bits)
        self.devices.append(self.board.device(f"d{number}", f"u{number}"))
        self.model.units.append(unit)

    def attach(self, index: int) -> None:
        index %= len(self.devices)
        expected = self.model.attach(index)
        error = 0
        try:
            self.domain.attach(self.devices[index])
        except OSError as refused:
            error = refused.errno or -1
        assert error == (0 if expected else errno.EINVAL)
        self.check()

    def detach(self, index: int) -> None:
        index %= len(self.devices)
        self.domain.detach(self.devices[index])
        model = self.model
        last = {index} == model.attached
        model.attached.discard(index)
        model.apart.discard(index)
        model.settle()
        if not last:
            self.check()

    def map(self, number: int, phys: int, count: int) -> None:
        if not self.model.attached:
            return
        bitmap = self.domain.pgsize_bitmap
        expected = bitmap != 0 and self.model.maps(number, PHYS + phys * K4, count, bitmap)
        done = False
        with contextlib.suppress(OSError):
            self.domain.map(number * K4, PHYS + phys * K4, count * K4)
            done = True
        assert done == expected
        if done:
            self.calls += 1
            sizes = self.model.in_common()
            if self.model.name == "operations":
                sizes &= self.model.driver_sizes()
            for at in range(count):
                self.model.pages[number + at] = Page(PHYS + (phys + at) * K4, self.calls, sizes)
        self.check()

    def unmap(self, number: int, count: int) -> None:
        model = self.model
        bitmap = self.domain.pgsize_bitmap
        went = self.domain.unmap(number * K4, count * K4)
        asked = set(range(number, number + count))
        if not model.attached or not bitmap or (number | count) * K4 % (bitmap & -bitmap):
            gone: set[int] = set()
            if model.attached:
                assert went == 0
            else:
                gone = {at for at in model.pages if not self.domain.iova_to_phys(at * K4)}
        else:
            first = self.devices[min(model.attached)]
            gone = {at for at in model.pages if not self.domain.iova_to_phys(at * K4, first)}
            units = [model.units[each] for each in model.attached]
            # Nothing of a map call that the range does not meet.
            met = {page.call for at, page in model.pages.items() if at in asked}
            assert {model.pages[at].call for at in gone} <= met
            # All of map calls without a hole between them, and no more.
            if asked <= model.pages.keys() and all(
                at in asked for at, page in model.pages.items() if page.call in met
            ):
                assert gone == asked
                assert went == count * K4
            # SMMUs split their pages, and small ones have no part.
            if all(unit.driver == "smmu_v3" for unit in units):
                assert gone <= asked
            if not all(unit.driver == "virtio" for unit in units):
                assert went >= len(gone) * K4
        for at in gone:
            del model.pages[at]
        self.check()

    def cut(self, which: int, skip: int, count: int) -> None:
        """Unmaps `count` pages of a map call from its page `skip` on; 0: all behind that."""
        calls = sorted({page.call for page in self.model.pages.values()})
        if calls:
            call = calls[which % len(calls)]
            pages = [at for at, page in self.model.pages.items() if page.call == call]
            first = min(pages) + min(skip, len(pages) - 1)
            self.unmap(first, count or max(pages) + 1 - first)

    def check(self) -> None:
        """All attached devices reach what the dictionary says, and the domain says what it can."""
        model = self.model
        bitmap = model.bitmap()
        assert bitmap is None or self.domain.pgsize_bitmap == bitmap
        for at in self.looked_at():
            page = model.pages.get(at)
            expected = 0 if page is None else page.phys + 5
            for index in model.attached:
                assert self.domain.iova_to_phys(at * K4 + 5, self.devices[index]) == expected
        assert len(self.domain.tables) <= max(1, len(model.attached))

    def looked_at(self) -> Iterator[int]:
        pages = self.model.pages
        for at in pages:
            if at % 64 == 0 or not (at - 1 in pages and at + 1 in pages):
                yield from range(max(at - 1, 0), at + 2)


@st.composite
def units_of(draw: st.DrawFn, drivers: tuple[semantics.IommuDriver, ...]) -> list[Unit]:
    units = []
    for driver in drivers:
        sizes = [K4, K4 | M2, K4 | M2 | G1]
        if not {"virtio", "smmu_v3"} & set(drivers):
            sizes.append(M2)  # for which those have no tables
        bits = (39, 48)
        units.append(Unit(driver, draw(st.sampled_from(sizes)), draw(st.sampled_from(bits))))
    return units


numbers = st.one_of(
    st.integers(0, 12),
    st.builds(lambda at, off: at * 512 + off, st.integers(0, 3), st.sampled_from((0, 0, 1, 16))),
    st.just(BEYOND_39_BITS),
)
counts = st.sampled_from((1, 2, 8, 512, 513, 1024))
steps = st.one_of(
    st.tuples(st.just("attach"), st.integers(0, 3)),
    st.tuples(st.just("attach"), st.integers(0, 3)),
    st.tuples(st.just("detach"), st.integers(0, 3)),
    st.tuples(st.just("map"), numbers, st.sampled_from((0, 0, 512, 1)), counts),
    st.tuples(st.just("map"), numbers, st.sampled_from((0, 0, 512, 1)), counts),
    st.tuples(st.just("unmap"), numbers, counts),
    st.tuples(
        st.just("cut"),
        st.integers(0, 3),
        st.sampled_from((0, 0, 1, 16)),
        st.sampled_from((0, 0, 1, 8)),
    ),
    st.tuples(st.just("late")),
)
programs = st.lists(steps, min_size=4, max_size=14)


def play(
    name: semantics.Semantics,
    after: semantics.AttachAfterMap,
    units: list[Unit],
    late: Unit,
    program: list[tuple[object, ...]],
) -> None:
    scene = Play(name, after, units)
    scene.attach(0)
    for what, *arguments in program:
        if what == "map":
            number, offset, count = arguments
            scene.map(number, number + offset if number < 1 << 20 else offset, count)  # type: ignore[operator,arg-type]
        elif what == "late":
            if len(scene.devices) == len(units):
                scene.add(late)
                scene.check()
        else:
            getattr(scene, str(what))(*arguments)


@pytest.mark.parametrize(("name", "after"), RULES)
@settings(max_examples=settings.default.max_examples // 5)
@given(st.data())
def test_a_domain_is_a_dictionary_of_pages_and_a_set_of_iommus(
    name: semantics.Semantics, after: semantics.AttachAfterMap, data: st.DataObject
) -> None:
    drivers = data.draw(st.sampled_from(PAIRS))
    units = data.draw(units_of(drivers))
    late = data.draw(units_of(drivers))[0]
    play(name, after, units, late, data.draw(programs))
