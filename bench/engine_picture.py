# SPDX-License-Identifier: MIT
"""Draws what `engine_bench --csv` wrote: the time of each case as a share of the old engine's.

python bench/engine_picture.py results.csv docs/images/page-tables.svg
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path

ROW, BAR, LEFT, WIDTH, FIGURES = 16, 10, 190, 260, 140
NEW, OLD, TEXT = "#2a6f97", "#d9d9d9", "#333333"


def bars(rows: list[dict[str, str]]) -> str:
    """One group for each engine and call, in it one line for each case and a column of bars for
    each kind of processor."""
    kinds = list(dict.fromkeys(row["kind"] for row in rows))
    groups: dict[tuple[str, str], dict[str, dict[str, dict[str, str]]]] = {}
    for row in rows:
        cases = groups.setdefault((row["engine"], row["call"]), {})
        cases.setdefault(row["pages"], {})[row["kind"]] = row
    y = 52
    parts = [
        f'<text x="{column(at)}" y="38" font-weight="bold">{kind or "ours"}</text>'
        for at, kind in enumerate(kinds)
    ]
    for (engine, call), cases in groups.items():
        name = engine.removeprefix("kvmiommu-")
        parts.append(f'<text x="8" y="{y + 10}" font-weight="bold">{name} {call}</text>')
        for pages, of in cases.items():
            parts.append(f'<text x="{LEFT - 8}" y="{y + 10}" text-anchor="end">{pages}</text>')
            for at, kind in enumerate(kinds):
                new, old = float(of[kind]["min_new"]), float(of[kind]["min_old"])
                share = min(new / old, 1.5)
                x = column(at)
                parts += [
                    f'<rect x="{x}" y="{y + 2}" width="{WIDTH}" height="{BAR}" fill="{OLD}"/>',
                    f'<rect x="{x}" y="{y + 2}" width="{WIDTH * share:.1f}" height="{BAR}" '
                    f'fill="{NEW}"/>',
                    f'<text x="{x + WIDTH * max(share, 1) + 8:.1f}" y="{y + 10}">'
                    f"{new:.1f} / {old:.1f} ns</text>",
                ]
            y += ROW
        y += 8
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{column(len(kinds))}" height="{y + 8}" '
        f'font-family="sans-serif" font-size="11" fill="{TEXT}">\n'
        '<rect width="100%" height="100%" fill="white"/>\n'
        f'<text x="8" y="18" font-size="13">A call, beside Linux&#8217;s own code (grey): '
        "the least time of one run, new / old</text>\n"
    )
    return head + "\n".join(parts) + "\n</svg>\n"


def column(at: int) -> int:
    """Where the bars of a kind begin."""
    return LEFT + at * (WIDTH + FIGURES)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("results", type=Path, help="what engine_bench --csv wrote")
    parser.add_argument("picture", type=Path, help="an SVG file to write")
    arguments = parser.parse_args()
    with arguments.results.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    if not rows:
        parser.error(f"{arguments.results} has no rows")
    arguments.picture.parent.mkdir(parents=True, exist_ok=True)
    arguments.picture.write_text(bars(rows), encoding="utf-8")


if __name__ == "__main__":
    main()
