# SPDX-License-Identifier: MIT
"""`kvmiommu diff`: which calls return something else on another machine."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import click

import kvmiommu
from kvmiommu.machine import Machine
from kvmiommu.transcript import (
    Outcome,
    Step,
    Transcript,
    TranscriptError,
    buffer_alignment,
    play,
    symbols_of,
)

from ._errors import UsageError
from ._inputs import MachineName, check_stdin, load_machine, read_transcripts, warn
from ._reports import labelled, summary
from ._terminal import Progress, styled, write

__all__ = ["command"]

_EPILOG = """\
\b
Examples:
  kvmiommu diff q35-intel q35-amd transcripts/q35-intel
  kvmiommu diff powernv9 powernv9-4k - < calls.uapi
  kvmiommu diff q35-intel my.toml --json calls.uapi
\b
Exit status: 0 no difference, 1 some answers differ, 2 a path, machine or transcript is wrong.
"""


@dataclass(frozen=True, slots=True)
class _Differing:
    """A call that does not return the same on both machines."""

    step: Step
    outcomes: tuple[Outcome, Outcome]


@click.command(
    "diff", short_help="Play transcripts on two machines and compare them.", epilog=_EPILOG
)
@click.argument("first", metavar="MACHINE", type=MachineName())
@click.argument("second", metavar="MACHINE", type=MachineName())
@click.argument("paths", metavar="PATH...", nargs=-1, required=True, type=click.Path())
@click.option(
    "--strict", is_flag=True, help="Take a name that nothing in the file defines for an error."
)
@click.option("--json", "as_json", is_flag=True, help="Print the differences as JSON.")
def command(first: str, second: str, paths: tuple[str, ...], strict: bool, as_json: bool) -> int:
    """Plays transcripts on two machines, and prints every call that returns something else on one.

    MACHINE is a machine's name or its .toml file. PATH is a transcript, a folder to search for
    *.uapi, or '-' for standard input. Answers that are recorded there do not matter, and need not
    be there.

    \b
      calls.uapi:9: ioctl c VFIO_CHECK_EXTENSION val:VFIO_DMA_CC_IOMMU
        q35-intel   = 1
        q35-virtio  = 0
    """
    check_stdin(first, second, *set(paths))
    pair = (load_machine(first), load_machine(second))
    inputs = read_transcripts(paths, lambda source: pair, answers=False, strict=strict)
    warn(inputs)
    progress = Progress()
    files: list[tuple[str, list[_Differing]]] = []
    for each in inputs:
        differing = list(_compare(each.transcript, pair))
        files.append((each.source.name, differing))
        if not as_json and differing:
            progress.clear()
            for one in differing:
                write(_describe(each.source.name, one, _names(pair)))
        progress.show(f"{len(files)}/{len(inputs)} files")
    progress.clear()
    answers = sum(len(each.transcript.steps) for each in inputs)
    differences = sum(len(differing) for _, differing in files)
    if as_json:
        write(_json(pair, files, answers))
    else:
        write(summary(answers, differences, len(files)))
    return 1 if differences else 0


def _compare(transcript: Transcript, pair: tuple[Machine, Machine]) -> Iterator[_Differing]:
    runs = [
        play(
            transcript,
            partial(kvmiommu.System, machine),
            symbols_of(machine.abi),
            alignment=buffer_alignment(machine.arch, machine.page_size),
        )
        for machine in pair
    ]
    try:
        for (step, first), (_, second) in zip(*runs, strict=True):
            if first.lines != second.lines:
                yield _Differing(step, (first, second))
    except TranscriptError as error:
        raise UsageError(str(error)) from error
    except OSError as error:
        raise UsageError(f"{transcript.file}: a machine cannot be made: {error}") from error
    finally:
        for run in runs:
            run.close()


def _names(pair: tuple[Machine, Machine]) -> tuple[str, str]:
    """What the machines are called: by their names, or by their order where those are the same."""
    first, second = (machine.name for machine in pair)
    return (first, second) if first != second else ("first", "second")


def _describe(file: str, differing: _Differing, names: tuple[str, str]) -> str:
    width = max(map(len, names)) + 1
    lines = [f"{styled(f'{file}:{differing.step.line}:', bold=True)} {differing.step.text}"]
    for name, outcome in zip(names, differing.outcomes, strict=True):
        answer = [line.strip() for line in outcome.lines] or ["no answer"]
        if outcome.reason:
            answer.append(f"({outcome.reason})")
        lines += labelled(name, answer, width)
    return "\n".join(lines)


def _json(
    pair: tuple[Machine, Machine], files: list[tuple[str, list[_Differing]]], answers: int
) -> str:
    return json.dumps(
        {
            "version": 1,
            "command": "diff",
            "machines": [machine.name for machine in pair],
            "answers": answers,
            "differences": sum(len(differing) for _, differing in files),
            "files": [
                {
                    "file": file,
                    "differences": [
                        {
                            "line": each.step.line,
                            "call": each.step.text,
                            "got": [
                                {
                                    "answer": [line.strip() for line in outcome.lines],
                                    "reason": outcome.reason,
                                }
                                for outcome in each.outcomes
                            ],
                        }
                        for each in differing
                    ],
                }
                for file, differing in files
            ],
        },
        indent=2,
    )
