# SPDX-License-Identifier: MIT
"""Instructions of a call beside its time: counts what engine_bench has timed, with callgrind.

    python bench/engine_instructions.py results.csv --pair NEW=OLD[,OLD...] ... LIBRARY...

Adds the columns `ir_new` and `ir_old` to the file that `engine_bench --csv` has written, with the
same pairs and libraries. A count is the difference between a longer and a shorter run, so neither
loading nor the first tables are in it; what the engine "null" needs is taken off. callgrind knows
no AVX-512: the counts of that kind stay empty.
"""

from __future__ import annotations

import argparse
import csv
import functools
import os
import re
import subprocess
import sys
from pathlib import Path

BENCH = Path(__file__).parent.parent / "build" / "engine_bench"
#: A shorter run and a longer one.
ROUNDS = (1, 5)


def counted(
    libraries: tuple[str, ...], engine: str, kind: str, pages: str, call: str, rounds: int
) -> tuple[int, int]:
    """Instructions of all the calls of one kind in a run, and how many there were in a round."""
    done = subprocess.run(
        [
            "valgrind",
            "--tool=callgrind",
            "--callgrind-out-file=/dev/null",
            f"--toggle-collect=*time_{call}s(*",
            BENCH,
            *("--only", engine, pages),
            *("--rounds", str(rounds)),
            *libraries,
        ],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | ({"KVMIOMMU_WIDE": kind} if kind else {}),
    )
    collected = re.search(r"Collected : (\d+)", done.stderr)
    calls = re.search(r"(\d+) calls a round", done.stdout)
    if not collected or not calls:
        sys.exit(f"{engine} {pages}: {done.stderr.strip()}")
    return int(collected[1]), int(calls[1])


@functools.cache
def instructions(
    libraries: tuple[str, ...], engine: str, kind: str, pages: str, call: str
) -> float:
    """Of a call, with the loop around it."""
    fewer, calls = counted(libraries, engine, kind, pages, call, ROUNDS[0])
    more, _ = counted(libraries, engine, kind, pages, call, ROUNDS[1])
    return (more - fewer) / (ROUNDS[1] - ROUNDS[0]) / calls


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("results", type=Path, help="what engine_bench --csv has written")
    parser.add_argument("--pair", action="append", required=True, metavar="NEW=OLD[,OLD...]")
    parser.add_argument("library", nargs="+", help="as for engine_bench")
    arguments = parser.parse_args()
    pairs = dict(pair.split("=", 1) for pair in arguments.pair)
    libraries = tuple(arguments.library)
    with arguments.results.open(newline="") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        print(f"{row['engine']} {row['pages']} {row['call']}        ", end="\r", file=sys.stderr)

        def count(
            engine: str, kind: str = "", pages: str = row["pages"], call: str = row["call"]
        ) -> float:
            return instructions(libraries, engine, kind, pages, call)

        row["ir_new"] = row["ir_old"] = ""
        if row["kind"] != "avx512":
            cost = count("null")
            row["ir_new"] = f"{count(row['engine'], row['kind']) - cost:.0f}"
            row["ir_old"] = f"{min(map(count, pairs[row['engine']].split(','))) - cost:.0f}"
    with arguments.results.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    for row in rows:
        print(
            f"{row['engine']:22} {row['kind']:9} {row['call']:5} {row['pages']:>8}"
            f" {float(row['min_new']):9.1f},{float(row['min_old']):<9.1f} ns"
            f" {row['ir_new']:>7},{row['ir_old']:<7} instructions (new,old)"
        )


if __name__ == "__main__":
    main()
