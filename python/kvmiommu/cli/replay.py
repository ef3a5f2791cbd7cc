# SPDX-License-Identifier: MIT
"""`kvmiommu replay`: plays transcripts of the real kernel and tells which answers differ."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import kvmiommu
from kvmiommu import machine as machines
from kvmiommu.transcript import (
    Difference,
    FileResult,
    Symbols,
    System,
    Transcript,
    TranscriptError,
    check_constants,
    parse_file,
    replay,
    symbols_of,
)

from ._errors import UsageError

if TYPE_CHECKING:
    from kvmiommu.machine import Machine

__all__ = ["add_to", "run"]

_DESCRIPTION = """\
Plays transcripts (.uapi files) of the real kernel on an emulated machine, each file on a machine
of its own, and prints every call that is answered otherwise:

  q35-intel/type1-info.uapi:11: ioctl c VFIO_IOMMU_GET_INFO u32:15 u32:0 u64:0
    recorded  = -EINVAL
              > u32:15 u32:0 u64:0
    got       = 0
              > u32:15 u32:0 u64:0
    reason    nothing was refused

The reason is the emulator's own: which check refused, and with which numbers. The last line of
the output is always

  A answers, D differences, F files
"""

_EXAMPLES = """\
examples:
  kvmiommu replay transcripts/                  every folder in turn, on the machine of its name
  kvmiommu replay transcripts/q35-intel --table with a line for the machine: answers, time
  kvmiommu replay --machine q35-intel my.uapi   a transcript that lies elsewhere
  kvmiommu replay --machine my.toml my.uapi     a machine of your own

exit status: 0 no difference, 1 some answers differ, 2 a path, machine or transcript is wrong
"""

#: Seconds before a run counts as long and shows how far it is.
_PATIENCE = 1.0


def add_to(commands: argparse._SubParsersAction[Any]) -> None:
    """Adds the command to the parser of `kvmiommu`."""
    parser = commands.add_parser(
        "replay",
        help="play transcripts of the real kernel and compare the answers",
        description=_DESCRIPTION,
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "paths",
        metavar="PATH",
        nargs="+",
        help="a transcript, or a folder to search for *.uapi, its folders included",
    )
    parser.add_argument(
        "--machine",
        metavar="NAME",
        help="a machine's name or its .toml file (default: the name of the transcript's folder)",
    )
    parser.add_argument(
        "--table", action="store_true", help="print the figures for each machine before the end"
    )
    parser.set_defaults(run=run)


def make_system(machine: Machine) -> System:
    """A fresh system of that machine."""
    return kvmiommu.System(machine)


def transcripts_at(paths: Iterable[str]) -> list[Path]:
    """The files that `paths` name, each once; a folder's in the order of their names."""
    found: dict[Path, None] = {}
    for text in paths:
        path = Path(text)
        if path.is_dir():
            files = sorted(file for file in path.rglob("*.uapi") if file.is_file())
            if not files:
                raise UsageError(
                    f"no transcript in the folder '{text}'; expected files named *.uapi"
                )
        elif path.exists():
            files = [path]
        else:
            raise UsageError(
                f"no such path: '{text}'; expected a transcript (.uapi) or a folder of them"
            )
        found.update(dict.fromkeys(files))
    return list(found)


@dataclass(slots=True)
class _Machine:
    """A machine and the figures of what was played on it."""

    description: Machine
    symbols: Symbols
    files: int = 0
    answers: int = 0
    differences: int = 0
    seconds: float = 0.0

    def count(self, result: FileResult) -> None:
        self.files += 1
        self.answers += result.answers
        self.differences += len(result.differences)
        self.seconds += result.seconds


def run(arguments: argparse.Namespace) -> int:
    """Plays what the command line names; all of it is read and checked first."""
    played_on: dict[str, _Machine] = {}
    work = [
        _prepare(path, arguments.machine, played_on) for path in transcripts_at(arguments.paths)
    ]

    progress = _Progress(len(work))
    for transcript, machine in work:
        progress.show(played_on.values())
        factory = partial(make_system, machine.description)
        try:
            result = replay(transcript, factory, machine.symbols)
        except TranscriptError as error:
            raise UsageError(str(error)) from error
        machine.count(result)
        if result.differences:
            progress.clear()
        for difference in result.differences:
            print(describe(difference))
    progress.clear()

    if arguments.table:
        print(_table(played_on))
    answers = sum(machine.answers for machine in played_on.values())
    differences = sum(machine.differences for machine in played_on.values())
    print(f"{answers} answers, {differences} differences, {len(work)} files")
    return 1 if differences else 0


def _prepare(
    path: Path, chosen: str | None, known: dict[str, _Machine]
) -> tuple[Transcript, _Machine]:
    """The parsed file and its machine, which is kept in `known`."""
    name = chosen or Path(os.path.abspath(path)).parent.name
    try:
        if name not in known:
            description = machines.load(name)
            known[name] = _Machine(description, symbols_of(description.abi))
        transcript = parse_file(path)
        check_constants(transcript, known[name].symbols)
    except TranscriptError as error:
        raise UsageError(str(error)) from error
    except machines.MachineError as error:
        hint = "" if chosen else f" (from the folder of '{path}'; --machine NAME overrules it)"
        raise UsageError(f"{error}{hint}") from error
    except OSError as error:
        raise UsageError(f"'{path}' cannot be read: {error.strerror}") from error
    return transcript, known[name]


def describe(difference: Difference) -> str:
    """A difference as a person reads it; the format stands in the command's help."""
    lines = [f"{difference.file}:{difference.line}: {difference.call}"]
    lines += _labelled("recorded", [line.strip() for line in difference.recorded])
    lines += _labelled("got", [line.strip() for line in difference.got] or ["no answer"])
    fields = difference.fields()
    if difference.recorded[:1] == difference.got[:1] and fields:
        lines += _labelled(
            "differs", [f"field {at + 1}: {was}, got {now}" for at, was, now in fields]
        )
    lines += _labelled("reason", [difference.reason or "nothing was refused"])
    return "\n".join(lines)


def _labelled(label: str, lines: list[str]) -> list[str]:
    labels = [label] + [""] * (len(lines) - 1)
    return [f"  {head:<9} {line}" for head, line in zip(labels, lines, strict=True)]


def _table(machines_played: dict[str, _Machine]) -> str:
    head = ("machine", "files", "answers", "differences", "time")
    rows = [
        (name, str(m.files), str(m.answers), str(m.differences), f"{m.seconds:.2f} s")
        for name, m in machines_played.items()
    ]
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    return "\n".join(
        "  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])])
        for row in (head, *rows)
    )


class _Progress:
    """How far a long run is: one line on the terminal, which vanishes before other output."""

    def __init__(self, files: int) -> None:
        self._files = files
        self._begin = time.monotonic()
        self._terminal = sys.stderr.isatty()
        self._shown = False

    def show(self, machines_played: Iterable[_Machine]) -> None:
        if not self._terminal or time.monotonic() - self._begin < _PATIENCE:
            return
        played = list(machines_played)
        files, answers, differences = (
            sum(m.files for m in played),
            sum(m.answers for m in played),
            sum(m.differences for m in played),
        )
        sys.stderr.write(
            f"\r\x1b[K{files}/{self._files} files, {answers} answers, {differences} differences"
        )
        sys.stderr.flush()
        self._shown = True

    def clear(self) -> None:
        if self._shown:
            sys.stdout.flush()
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()
            self._shown = False
