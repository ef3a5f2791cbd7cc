# SPDX-License-Identifier: MIT
"""`kvmiommu replay`: plays transcripts of the real kernel and reports what differs."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

import kvmiommu
from kvmiommu.transcript import (
    FileResult,
    Outcome,
    Step,
    System,
    Transcript,
    TranscriptError,
    buffer_alignment,
    replay,
    rewritten,
    symbols_of,
)

from . import _reports
from ._errors import UsageError
from ._inputs import (
    Input,
    MachineName,
    SetAside,
    Source,
    check_stdin,
    load_machine,
    read_transcripts,
    warn,
)
from ._jobs import in_order
from ._reports import Played, describe
from ._terminal import Progress, write

if TYPE_CHECKING:
    from kvmiommu.machine import Machine

__all__ = ["command", "describe"]

#: How standard output is called on the command line.
STDOUT = "-"

_EPILOG = """\
\b
Examples:
  kvmiommu replay transcripts/                  every folder in turn, on the machine of its name
  kvmiommu replay transcripts/q35-intel --table with a line for the machine: answers, time
  kvmiommu replay --machine q35-intel my.uapi   a transcript that lies elsewhere
  kvmiommu replay --machine my.toml - < my.uapi a machine of your own, standard input
  kvmiommu replay -j4 --junit -o report.xml transcripts/
  kvmiommu replay --machine q35-intel --record answers.uapi calls.uapi
\b
Exit status: 0 no difference, 1 some answers differ, 2 a path, machine or transcript is wrong.
"""


def make_system(machine: Machine) -> System:
    """A fresh system of that machine."""
    return kvmiommu.System(machine)


@dataclass(frozen=True, slots=True)
class _Task:
    """What a worker gets: everything that is needed to play one file."""

    transcript: Transcript
    machine: Machine
    fail_fast: bool
    record: bool


@dataclass(frozen=True, slots=True)
class _Done:
    result: FileResult
    outcomes: tuple[tuple[Step, Outcome], ...]


def _play(task: _Task) -> _Done:
    outcomes: list[tuple[Step, Outcome]] = []

    def observe(step: Step, outcome: Outcome) -> None:
        if task.record:
            outcomes.append((step, outcome))

    factory = partial(make_system, task.machine)
    symbols = symbols_of(task.machine.abi)
    try:
        result = replay(
            task.transcript,
            factory,
            symbols,
            alignment=buffer_alignment(task.machine.arch, task.machine.page_size),
            fail_fast=task.fail_fast,
            observe=observe,
        )
    except TranscriptError as error:
        raise UsageError(str(error)) from error
    except OSError as error:
        raise UsageError(
            f"{task.transcript.file}: the machine {task.machine.name} cannot be made: {error}"
        ) from error
    return _Done(result, tuple(outcomes))


@click.command(
    "replay",
    short_help="Play transcripts of the real kernel and compare the answers.",
    epilog=_EPILOG,
)
@click.argument("paths", metavar="PATH...", nargs=-1, required=True, type=click.Path())
@click.option(
    "--machine",
    "chosen",
    metavar="NAME",
    type=MachineName(),
    help="A machine's name or its .toml file (default: the name of the transcript's folder).",
)
@click.option("-j", "--jobs", metavar="N", type=click.IntRange(1), default=1, show_default=True,
              help="Play that many files at a time, each in a process of its own.")  # fmt: skip
@click.option("-x", "--fail-fast", is_flag=True, help="Stop at the first difference.")
@click.option(
    "--strict", is_flag=True, help="Take a name that nothing in the file defines for an error."
)
@click.option("--table", is_flag=True, help="Print the figures for each machine before the end.")
@click.option("--json", "report", flag_value="json", help="Print a report as JSON.")
@click.option("--junit", "report", flag_value="junit", help="Print a report as JUnit XML.")
@click.option(
    "-o",
    "--output",
    metavar="FILE",
    type=click.Path(dir_okay=False),
    help="Write that report to a file, and the usual text to standard output.",
)
@click.option(
    "--record",
    metavar="OUT",
    type=click.Path(),
    help="Write the transcript with this emulator's answers: a file, or a folder for several "
    "transcripts, or '-' for standard output. Calls need no answer then.",
)
def command(
    paths: tuple[str, ...],
    chosen: str | None,
    jobs: int,
    fail_fast: bool,
    strict: bool,
    table: bool,
    report: str | None,
    output: str | None,
    record: str | None,
) -> int:
    """Plays transcripts (.uapi files) of the real kernel on an emulated machine.

    PATH is a transcript, a folder to search for *.uapi (its folders included), or '-' for standard
    input. Each file is played on a machine of its own, and every call that returns something else
    is printed:

    \b
      q35-intel/type1-info.uapi:11: ioctl c VFIO_IOMMU_GET_INFO u32:15 u32:0 u64:0
        recorded  = -EINVAL
                  > u32:15 u32:0 u64:0
        got       = 0
                  > u32:15 u32:0 u64:0
        reason    nothing was refused

    The reason is the emulator's own: which check refused, and with which numbers. The last line of
    the output is always

    \b
      A answers, D differences, F files

    Files of a folder that cannot be played are set aside, and standard error says so: those that
    the kernel opened /dev/iommu for, or a node of /dev/vfio/devices, those with the call 'child',
    and folders without a machine of their name.
    """
    if output is not None and report is None:
        raise click.UsageError("--output needs a report to write: --json or --junit")
    if record == STDOUT and report is not None and output is None:
        raise click.UsageError("a report and --record cannot both go to standard output")
    if record is not None and fail_fast:
        raise click.UsageError("--record writes all answers, and --fail-fast stops before the end")
    check_stdin(chosen, *set(paths))
    known: dict[str, Machine] = {}
    inputs = read_transcripts(
        paths, partial(_machine_for, chosen, known), answers=record is None, strict=strict
    )
    warn(inputs)
    targets = None if record is None else _targets(record, inputs)
    tasks = [
        _Task(each.transcript, each.machines[0], fail_fast, record is not None) for each in inputs
    ]
    text = STDOUT not in (record, report and (output or STDOUT))
    played: list[Played] = []
    answers = differences = 0
    progress = Progress()
    with contextlib.closing(in_order(_play, tasks, jobs)) as results:
        for each, done in zip(inputs, results, strict=True):
            machine = each.machines[0].name
            played.append(Played(machine, each.transcript.title, done.result, each.warnings))
            if text and done.result.differences:
                progress.clear()
                for difference in done.result.differences:
                    write(describe(difference))
            if targets is not None:
                _put(targets[each.source], rewritten(each.text, done.outcomes))
            answers += done.result.answers
            differences += len(done.result.differences)
            progress.show(
                f"{len(played)}/{len(inputs)} files, {answers} answers, {differences} differences"
            )
            if fail_fast and differences:
                break
    progress.clear()
    if report is not None:
        made = _reports.as_json("replay", played) if report == "json" else _reports.as_junit(played)
        _put(output or STDOUT, made)
    if text:
        if table:
            write(_reports.table(played))
        write(_reports.summary(answers, differences, len(played)))
    return 1 if differences else 0


def _machine_for(
    chosen: str | None, known: dict[str, Machine], source: Source
) -> tuple[Machine, ...]:
    """The machine that a transcript is played on; each is loaded once."""
    name = chosen or source.folder
    if name is None:
        raise UsageError("standard input is in no folder with a machine's name; add --machine NAME")
    if name not in known:
        hint = (
            "" if chosen else f" (from the folder of '{source.path}'; --machine NAME overrules it)"
        )
        try:
            known[name] = load_machine(name, hint)
        except UsageError as error:
            if source.listed and chosen is None:
                raise SetAside(f"no machine is called '{name}'", error) from error
            raise
    return (known[name],)


def _targets(record: str, inputs: Sequence[Input]) -> dict[Source, str]:
    """Where each transcript's answers go."""
    if len(inputs) == 1 and not os.path.isdir(record):
        return {inputs[0].source: record}
    if record == STDOUT:
        raise UsageError("several transcripts cannot be written to standard output; name a folder")
    targets = {each.source: os.path.join(record, each.source.place) for each in inputs}
    if len(set(targets.values())) < len(targets):
        raise UsageError(f"two transcripts would have one place in '{record}'; record them apart")
    return targets


def _put(path: str, text: str) -> None:
    """Writes text to a file, or to standard output."""
    if path == STDOUT:
        write(text.removesuffix("\n"))
        return
    try:
        file = Path(path)
        file.parent.mkdir(parents=True, exist_ok=True)
        content = text.removesuffix("\n") + "\n"
        file.write_text(content, encoding="utf-8", errors="backslashreplace")
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else error
        raise UsageError(f"'{path}' cannot be written: {why}") from error
