# SPDX-License-Identifier: MIT
"""Functions of shared libraries that need a newer processor than x86-64-v2.

    python tests/distribution/baseline.py [--names UNSTRIPPED] LIBRARY

Prints each with the instruction that gives it away; the exit status is 1 if there are any.

A function may use whatever there is if a table of the section newer_kinds holds its address: those
are called only on processors that have what they need (csrc/base/wide_rows.h). Relocations say what
a table holds. Symbols are not needed for that, only for names; --names takes them from the same
library before it was stripped. objdump, readelf and nm must be there (binutils).

What x86-64-v2 has: the psABI's table of micro-architecture levels (x86-64-ABI, section 3.1.1).
"""

from __future__ import annotations

import argparse
import bisect
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

# AVX to AVX-512 and FMA, which all begin with v (or are about mask registers), BMI1 and 2, and what
# came one at a time. Not tzcnt: compilers emit it where bsf would do, as which older processors
# execute it. Not xgetbv, which asks what there is.
_NEWER = re.compile(
    r"v\w+|k(?:add|andn?|mov|not|x?n?or|ortest|test|shift[lr]|unpck)[bwdq]\w*"
    r"|andn|bextr|bls(?:i|r|msk)|bzhi|mulx|pdep|pext|rorx|sarx|shlx|shrx"
    r"|lzcnt|movbe|ad[co]x|aes\w+|pclmul\w+|sha(?:1|256)\w+|gf2p8\w+"
    r"|rdrand|rdseed|rdpid|[rw]r[fg]sbase|xsave\w*|xrstor\w*|xbegin|xend|xtest|movdir\w+"
)
_INSTRUCTION = re.compile(
    r"^ *([0-9a-f]+):\t(?:(?:data16|lock|rep\w*|bnd|notrack|cs|ds) )*(\S+)(.*)"
)
_FRAME = re.compile(r" FDE cie=\S+ pc=([0-9a-f]+)\.\.([0-9a-f]+)")
_SECTION = re.compile(r"\] newer_kinds +PROGBITS +([0-9a-f]+) [0-9a-f]+ ([0-9a-f]+) ")
_RELOCATION = re.compile(r"^([0-9a-f]+) .* R_X86_64_RELATIVE +([0-9a-f]+)$", re.MULTILINE)
_JUMP = re.compile(r" *(?:0x)?([0-9a-f]+)\b")


@dataclass(frozen=True, slots=True)
class Violation:
    """A function and its first instruction that an x86-64-v2 lacks."""

    function: str
    address: int
    instruction: str

    def __str__(self) -> str:
        return f"{self.function}: {self.instruction} at {self.address:#x}"


class _Functions:
    """The functions of a library, by the unwinder's table, which no strip takes away."""

    def __init__(self, library: Path, names: Path) -> None:
        ranges = _FRAME.findall(_output("readelf", "--debug-dump=frames", library))
        self._starts = sorted(int(start, 16) for start, _ in ranges)
        self._names = {
            int(address, 16): name
            for address, _, name in (
                line.split(maxsplit=2)
                for line in _output("nm", "--demangle", "--defined-only", names).splitlines()
            )
        }

    def start(self, address: int) -> int:
        """Where the function around `address` begins; the address itself if it is in none."""
        at = bisect.bisect_right(self._starts, address) - 1
        return self._starts[at] if at >= 0 else address

    def name(self, start: int) -> str:
        return self._names.get(start, f"the function at {start:#x}")


def violations(library: Path, names: Path | None = None) -> list[Violation]:
    """One for each function."""
    functions = _Functions(library, names or library)
    found: dict[int, Violation] = {}
    jumps: dict[int, set[int]] = {}
    for address, mnemonic, operands in _instructions(library):
        start = functions.start(address)
        if mnemonic.startswith("j") and (target := _JUMP.match(operands)):
            jumps.setdefault(start, set()).add(functions.start(int(target[1], 16)))
        elif _NEWER.fullmatch(mnemonic) and start not in found:
            found[start] = Violation(functions.name(start), address, mnemonic)
    # A function may have a part that lies among other functions' rarely used parts.
    selected: set[int] = set()
    parts = [functions.start(address) for address in _in_tables(library)]
    while parts:
        if (part := parts.pop()) not in selected:
            selected.add(part)
            parts += jumps.get(part, ())
    return [violation for start, violation in found.items() if start not in selected]


def _in_tables(library: Path) -> list[int]:
    """The addresses that the tables of newer kinds hold."""
    section = _SECTION.search(_output("readelf", "--sections", "--wide", library))
    if section is None:
        return []
    first, size = int(section[1], 16), int(section[2], 16)
    return [
        int(value, 16)
        for place, value in _RELOCATION.findall(_output("readelf", "--relocs", "--wide", library))
        if first <= int(place, 16) < first + size
    ]


def _instructions(library: Path) -> Iterator[tuple[int, str, str]]:
    for line in _output("objdump", "--disassemble", "--no-show-raw-insn", library).splitlines():
        if match := _INSTRUCTION.match(line):
            yield int(match[1], 16), match[2], match[3]


def _output(*command: str | Path) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--names", type=Path, metavar="UNSTRIPPED")
    parser.add_argument("library", type=Path)
    options = parser.parse_args(arguments)
    found = violations(options.library, options.names)
    for violation in found:
        print(violation)
    print(f"{options.library.name}: {len(found)} functions need more than x86-64-v2")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
