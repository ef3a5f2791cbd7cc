# SPDX-License-Identifier: MIT
"""Prints what `engine_bench --csv` wrote as a table of Markdown, with a column for each kind of
processor: nanoseconds, and instructions if engine_instructions.py has counted them.

    python bench/engine_table.py results.csv
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path


def figures(row: dict[str, str], which: str) -> str:
    """Of one cell: `which` is "new" or "old"."""
    time = float(row[f"min_{which}"])
    text = f"{time:.0f} ns" if time >= 100 else f"{time:.1f} ns"
    return f"{text}, {row[f'ir_{which}']}" if row.get(f"ir_{which}") else text


def table(rows: list[dict[str, str]]) -> str:
    kinds = list(dict.fromkeys(row["kind"] for row in rows))
    lines = [
        f"| table | call | pages | {' | '.join(kind or 'ours' for kind in kinds)} | Linux |",
        "|---" * (len(kinds) + 4) + "|",
    ]
    cells = {(row["engine"], row["call"], row["pages"], row["kind"]): row for row in rows}
    for engine, call, pages in dict.fromkeys(key[:3] for key in cells):
        of = [cells[engine, call, pages, kind] for kind in kinds]
        ours = " | ".join(
            f"{figures(row, 'new')} ({float(row['min_new']) / float(row['min_old']):.2f})"
            for row in of
        )
        name = engine.removeprefix("kvmiommu-")
        lines.append(f"| `{name}` | {call} | {pages} | {ours} | {figures(of[0], 'old')} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("results", type=Path, help="what engine_bench --csv wrote")
    with parser.parse_args().results.open(newline="", encoding="utf-8") as file:
        print(table(list(csv.DictReader(file))))


if __name__ == "__main__":
    main()
