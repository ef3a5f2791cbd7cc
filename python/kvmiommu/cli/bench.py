# SPDX-License-Identifier: MIT
"""`kvmiommu bench`: what a map and an unmap cost on this machine's processor.

The cases and the look are those of the kernel's own benchmark of its page tables
(drivers/iommu/generic_pt/kunit_iommu_pt.h).
"""

from __future__ import annotations

import array
import itertools
import json
import platform
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import click

from kvmiommu import iommu

from ._terminal import Progress, write

__all__ = ["command"]

#: Bits of the pages that are timed, and the pages in a call.
_SHIFTS, _COUNTS = (12, 21, 30), (1, 256)
_MOST_CALLS = 4096  # in one batch
_MOST_PAGES = 64 * 256
_DEFAULT: tuple[iommu.FormatName, ...] = ("amdv1", "x86_64", "vtdss", "armv8-s1", "riscv64", "tce")


@dataclass(frozen=True, slots=True)
class _Times:
    """Nanoseconds of a call: the mean of the lower nine tenths of the rounds, and the least."""

    average: float
    least: float


@dataclass(frozen=True, slots=True)
class _Row:
    pages: str
    map: _Times
    unmap: _Times


@click.command(
    "bench",
    short_help="Time map and unmap of page tables on this processor.",
    epilog="""\
\b
Examples:
  kvmiommu bench                  the usual formats
  kvmiommu bench vtdss amdv1      those two
  kvmiommu bench --rounds 1000    for a quiet machine
  kvmiommu bench --json
""",
)
@click.argument(
    "formats", metavar="[FORMAT]...", nargs=-1, type=click.Choice(sorted(iommu.formats()))
)
@click.option("--rounds", metavar="N", type=click.IntRange(1), default=200, show_default=True,
              help="How often each case is timed.")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print the times as JSON.")
def command(formats: tuple[iommu.FormatName, ...], rounds: int, as_json: bool) -> int:
    """Times map and unmap of the package's page tables, and prints the table that the kernel's own
    benchmark of page tables prints: nanoseconds of a call for one page and for 256 pages of each
    size, on average and at least.

    FORMAT is a page-table format of kvmiommu.iommu. Times are those of this processor in user
    space: no lock is taken, nothing is accounted or flushed. They can be compared with each other,
    and not with what a kernel measures.
    """
    progress = Progress()
    results: dict[str, list[_Row]] = {}
    if not as_json:
        write(f"# {_processor()}, user space, Python {platform.python_version()}, {rounds} rounds")
    for name in dict.fromkeys(formats or _DEFAULT):
        rows = []
        for pages, table in _cases(name):
            progress.show(f"{name} {pages}")
            rows.append(_measure(pages, table, rounds))
        results[name] = rows
        if not as_json:
            progress.clear()
            write(_text(name, rows))
    progress.clear()
    if as_json:
        write(_json(results, rounds))
    return 0


def _text(name: str, rows: list[_Row]) -> str:
    lines = [name]
    for call in ("map", "unmap"):
        lines += [f"  {call}", "    pgsz  ,avg ns, min ns"]
        for row in rows:
            times: _Times = getattr(row, call)
            lines.append(f"{row.pages:>10},{times.average:6.1f},{times.least:7.1f}")
    return "\n".join(lines)


def _json(results: dict[str, list[_Row]], rounds: int) -> str:
    return json.dumps(
        {
            "version": 1,
            "command": "bench",
            "processor": _processor(),
            "rounds": rounds,
            "formats": {
                name: [
                    {
                        "pages": row.pages,
                        "map": {"average": row.map.average, "least": row.map.least},
                        "unmap": {"average": row.unmap.average, "least": row.unmap.least},
                    }
                    for row in rows
                ]
                for name, rows in results.items()
            },
        },
        indent=2,
    )


@dataclass(frozen=True, slots=True)
class _Case:
    """A table, and ranges of it behind each other that never line up with larger pages."""

    domain: iommu.Domain
    size: int
    iovas: array.array[int]
    phys: array.array[int]


def _cases(name: iommu.FormatName) -> Iterator[tuple[str, _Case]]:
    known = iommu.formats()[name]
    for count, shift in itertools.product(_COUNTS, _shifts(known)):
        page, size = 1 << shift, count << shift
        sizes = page if known.one_page_size else known.page_sizes & (2 * page - 1)
        domain = iommu.Domain(name, sizes)
        start, last = domain.aperture
        start += page
        room = min((last + 1 - start) // size, ((1 << known.output_bits) // size - 1) // 2)
        calls = min(room, _MOST_CALLS, _MOST_PAGES // count)
        if calls < 1:
            continue
        iovas = array.array("Q", range(start, start + calls * size, size))
        phys = array.array("Q", range(size, size + 2 * calls * size, 2 * size))
        text = f"{count}*2^{shift}" if count > 1 else f"2^{shift}"
        yield text, _Case(domain, size, iovas, phys)


def _shifts(known: iommu.Format) -> list[int]:
    """The usual page sizes, or all of a format that does not have most of them."""
    usual = [shift for shift in _SHIFTS if known.page_sizes >> shift & 1]
    if len(usual) > 1:
        return usual
    return [
        shift for shift in range(known.page_sizes.bit_length()) if known.page_sizes >> shift & 1
    ]


def _measure(pages: str, case: _Case, rounds: int) -> _Row:
    none = array.array("Q")
    calls = len(case.iovas)
    work: dict[str, Callable[[], object]] = {
        "empty map": lambda: case.domain.map_batch(none, none, case.size),
        "map": lambda: case.domain.map_batch(case.iovas, case.phys, case.size),
        "empty unmap": lambda: case.domain.unmap_batch(none, case.size),
        "unmap": lambda: case.domain.unmap_batch(case.iovas, case.size),
    }
    samples: dict[str, list[int]] = {name: [] for name in work}
    for at in range(rounds + 1):
        for name, call in work.items():
            took = _timed(call)
            if at:  # the first makes tables
                samples[name].append(took)
    return _Row(
        pages,
        _times(samples["map"], min(samples["empty map"]), calls),
        _times(samples["unmap"], min(samples["empty unmap"]), calls),
    )


def _timed(call: Callable[[], object]) -> int:
    begin = time.perf_counter_ns()
    call()
    return time.perf_counter_ns() - begin


def _times(samples: list[int], empty: int, calls: int) -> _Times:
    """What a call costs, without what Python takes to make the batch of them."""
    each = sorted(max(sample - empty, 0) / calls for sample in samples)
    kept = each[: max(len(each) * 9 // 10, 1)]
    return _Times(sum(kept) / len(kept), each[0])


def _processor() -> str:
    """The processor's name, as Linux has it."""
    if sys.platform == "linux":
        try:
            with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as file:
                for line in file:
                    if line.startswith("model name"):
                        return line.partition(":")[2].strip()
        except OSError:
            pass
    return platform.processor() or platform.machine()
