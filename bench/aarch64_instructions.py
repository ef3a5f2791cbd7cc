# SPDX-License-Identifier: MIT
"""Instructions of our calls on 64-bit Arm, counted under qemu on any machine.

    cmake -S . -B build/arm -G Ninja -DCMAKE_TOOLCHAIN_FILE=cmake/aarch64-linux-gnu.cmake \\
        -DKVMIOMMU_PYTHON=OFF
    cmake --build build/arm --target kvmiommu_engine
    aarch64-linux-gnu-g++ -std=gnu++23 -O2 -Icsrc bench/engine_bench.cpp -ldl \\
        -o build/arm/engine_bench
    python bench/aarch64_instructions.py kvmiommu-vtdss kvmiommu-armv8-s1

qemu executes one instruction at a time and logs each. It is counted for the call of the function
of engine_bench whose own instructions were the last before it: time_maps() or time_unmaps(). A
count is the difference between a longer and a shorter run, so neither loading nor the first tables
are in it; the loop of engine_bench around a call is, and so are all libraries.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

BUILD = Path(__file__).parent.parent / "build" / "arm"
QEMU = ("qemu-aarch64", "-L", "/usr/aarch64-linux-gnu", "-singlestep", "-d", "exec,nochain")
#: A shorter run and a longer one.
ROUNDS = (1, 3)
_OWN = re.compile(rb"time_(unmap|map)s")


def counted(build: Path, engine: str, pages: str, rounds: int) -> tuple[Counter[str], int]:
    """Instructions behind each kind of call in a run, and the calls of a round."""
    command: list[str | Path] = [
        *QEMU,
        build / "engine_bench",
        "--only",
        engine,
        pages,
        "--rounds",
        str(rounds),
    ]
    with subprocess.Popen(
        [*command, build / "libkvmiommu_engine.so"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as run:
        assert run.stdout
        assert run.stderr
        found: Counter[str] = Counter()
        call = ""
        for line in run.stderr:
            if line.startswith(b"Trace "):
                if own := _OWN.search(line):
                    call = own[1].decode()
                found[call] += 1
        said = run.stdout.read().decode()
    calls = re.search(r"(\d+) calls a round", said)
    if run.returncode or not calls:
        sys.exit(f"{engine} {pages}: {said or 'engine_bench failed'}")
    return found, int(calls[1])


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("engine", nargs="+")
    parser.add_argument("--build", type=Path, default=BUILD, help="where both programs are")
    arguments = parser.parse_args()
    print(
        "| table | call | one 4 KiB page | 256 pages of 4 KiB | an entry |\n|---|---|---|---|---|"
    )
    for engine in arguments.engine:
        of: dict[str, list[float]] = {"map": [], "unmap": []}
        for pages in ("2^12", "256*2^12"):
            fewer, calls = counted(arguments.build, engine, pages, ROUNDS[0])
            more, _ = counted(arguments.build, engine, pages, ROUNDS[1])
            for call, figures in of.items():
                figures.append((more[call] - fewer[call]) / (ROUNDS[1] - ROUNDS[0]) / calls)
        for call, (one, many) in of.items():
            name = engine.removeprefix("kvmiommu-")
            print(f"| `{name}` | {call} | {one:.0f} | {many:.0f} | {(many - one) / 255:.2f} |")


if __name__ == "__main__":
    main()
