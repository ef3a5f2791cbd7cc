# SPDX-License-Identifier: MIT
"""What the benchmarks say when they are read side by side."""

from __future__ import annotations

import re

import pytest

_PUT_TCE = re.compile(r"test_put_tce\[(short|long)-(\d+)\]|test_put_tce\[(\d+)-(short|long)\]")

_SEED = """\
When answering in the kernel was proposed (2013, a 10 Gb/s network card), it made 220 MB/s into
750 to 1020 MB/s: 3.4 to 4.6 times. That is another measure. There a network waited, for hypercalls
among other things; here are the hypercalls alone, with a VMM in Python, and no processor changes
worlds."""


@pytest.hookimpl(trylast=True)
def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """The long way through the VMM beside the short one in the kernel, by the length of a run."""
    session = getattr(config, "_benchmarksession", None)
    medians: dict[int, dict[str, float]] = {}
    for bench in getattr(session, "benchmarks", ()):
        if found := _PUT_TCE.fullmatch(bench.name):
            way, entries = found[1] or found[4], int(found[2] or found[3])
            medians.setdefault(entries, {})[way] = bench.stats.median
    both = {entries: ways for entries, ways in sorted(medians.items()) if len(ways) == 2}
    if not both:
        return
    terminalreporter.section("H_PUT_TCE: by user space, in the kernel, and how often the longer")
    for entries, ways in both.items():
        long, short = (ways[way] / entries * 1e9 for way in ("long", "short"))
        terminalreporter.write_line(
            f"runs of {entries:6}: {long:8.0f} ns, {short:6.0f} ns an entry, "
            f"{long / short:5.1f} times"
        )
    terminalreporter.write_line(_SEED)
