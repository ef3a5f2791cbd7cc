# SPDX-License-Identifier: MIT
"""What commands take: machines and transcripts, each by name, by file or from standard input."""

from __future__ import annotations

import difflib
import os
import sys
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click
from click.shell_completion import CompletionItem

from kvmiommu import machine as machines
from kvmiommu.machine.sizes import count_text
from kvmiommu.transcript import (
    Transcript,
    TranscriptError,
    check_answers,
    check_constants,
    parse_bytes,
    symbols_of,
    unmet_needs,
)

from ._errors import UsageError
from ._terminal import complain

if TYPE_CHECKING:
    from kvmiommu.machine import Machine

__all__ = [
    "STDIN",
    "Input",
    "MachineName",
    "SetAside",
    "Source",
    "Warned",
    "check_stdin",
    "load_machine",
    "read_bytes",
    "read_transcripts",
    "transcripts_at",
    "warn",
]

#: How standard input is called on the command line, and in messages.
STDIN, _STDIN_NAME = "-", "<stdin>"


if TYPE_CHECKING:
    _ParamType = click.ParamType[str]
else:
    _ParamType = click.ParamType  # generic since click 8.4 alone


class MachineName(_ParamType):
    """A machine that comes with the package, or the file of a description."""

    name = "machine"

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        known = [name for name in machines.names() if name.startswith(incomplete)]
        return [CompletionItem(name) for name in known] or [CompletionItem(incomplete, "file")]


def check_stdin(*words: str | None) -> None:
    """Raises click.UsageError where several words stand for standard input."""
    if words.count(STDIN) > 1:
        raise click.UsageError("'-' stands for standard input, which can be read once only")


def load_machine(name: str, hint: str = "") -> Machine:
    """The machine of that name or file, or of standard input. Raises UsageError."""
    try:
        if name == STDIN:
            return machines.parse(_text(read_bytes(STDIN)), _STDIN_NAME)
        return machines.load(name)
    except machines.MachineError as error:
        raise UsageError(*(f"{each}{hint}" for each in error.mistakes)) from error


def _text(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise UsageError(
            f"{_STDIN_NAME}:{line}: the byte {data[error.start]:#04x}; expected text in UTF-8"
        ) from None


def read_bytes(path: str) -> bytes:
    """What is in a file, or comes from standard input. Raises UsageError."""
    try:
        if path != STDIN:
            return Path(path).read_bytes()
        if sys.stdin is None:  # type: ignore[unreachable, unused-ignore]
            raise UsageError("standard input is closed, and '-' stands for it")
        return sys.stdin.buffer.read()
    except OSError as error:
        raise UsageError(f"'{path}' cannot be read: {error.strerror}") from error
    except MemoryError:
        raise UsageError(f"'{path}' cannot be read: it does not fit into memory") from None
    except ValueError as error:
        raise UsageError(f"'{path}' cannot be read: {error}") from error


# -- transcripts -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Source:
    """A transcript's file; `place` is where its like goes in a folder of results.

    `listed` is one that was found in a folder, not named itself.
    """

    path: str
    place: Path
    listed: bool = False

    @property
    def name(self) -> str:
        return _STDIN_NAME if self.path == STDIN else self.path

    @property
    def folder(self) -> str | None:
        """The name of the folder that it is in."""
        return None if self.path == STDIN else Path(os.path.abspath(self.path)).parent.name


def transcripts_at(paths: Iterable[str]) -> list[Source]:
    """The files that `paths` name, each once; a folder's in the order of their names."""
    found: dict[str, Source] = {}
    for text in paths:
        path = Path(text)
        if text == STDIN:
            found.setdefault(STDIN, Source(STDIN, Path("stdin.uapi")))
        elif _is_folder(path):
            files = _files_in(path)
            if not files:
                raise UsageError(
                    f"no transcript in the folder '{text}'; expected files named *.uapi"
                )
            root = Path(os.path.abspath(path)).name
            for file in files:
                source = Source(str(file), Path(root, file.relative_to(path)), listed=True)
                found.setdefault(str(file), source)
        elif _exists(path):
            place = Path(Path(os.path.abspath(path)).parent.name, path.name)
            found.setdefault(str(path), Source(str(path), place))
        else:
            raise UsageError(
                f"no such path: '{text}'; expected a transcript (.uapi), a folder of them, or '-'"
            )
    return list(found.values())


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError as error:
        raise UsageError(f"'{path}' cannot be read: {error.strerror}") from error


def _files_in(folder: Path) -> list[Path]:
    try:
        return sorted(file for file in folder.rglob("*.uapi") if file.is_file())
    except OSError as error:
        where = error.filename or folder
        raise UsageError(f"'{where}' cannot be read: {error.strerror}") from error


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):
        return False


@dataclass(frozen=True, slots=True)
class Warned:
    """A warning about a transcript."""

    file: str
    line: int
    column: int
    message: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}: {self.message}"


@dataclass(frozen=True, slots=True)
class Input:
    """A transcript that was read and checked, and the machines that it is to be played on."""

    source: Source
    text: str
    transcript: Transcript
    machines: tuple[Machine, ...]
    warnings: tuple[Warned, ...]


class SetAside(Exception):  # noqa: N818 - it ends nothing unless no file is left
    """Why a transcript of a folder is not played; `error` is what it is for one that is named."""

    def __init__(self, why: str, error: UsageError) -> None:
        self.error = error
        super().__init__(why)


def read_transcripts(
    paths: Iterable[str],
    machines_for: Callable[[Source], tuple[Machine, ...]],
    *,
    answers: bool,
    strict: bool,
) -> list[Input]:
    """Reads and checks all that `paths` name before anything is played.

    A transcript of a folder that cannot be played here is set aside, and standard error says so:
    one that needs what no machine has, or for which `machines_for` raises SetAside.

    Raises UsageError with the first mistake of each file, or when nothing is left to be played.
    """
    inputs: list[Input] = []
    aside: list[tuple[Source, SetAside]] = []
    wrong: dict[str, None] = {}
    for source in transcripts_at(paths):
        try:
            each = _read(source, machines_for, answers=answers)
        except SetAside as reason:
            aside.append((source, reason))
        except TranscriptError as error:
            wrong[str(error)] = None
        except UsageError as error:
            wrong.update(dict.fromkeys(error.messages))
        else:
            inputs.append(each)
            if strict:
                wrong.update(dict.fromkeys(map(str, each.warnings)))
    if not inputs:
        wrong.update((text, None) for _, reason in aside for text in reason.error.messages)
    if wrong:
        raise UsageError(*wrong)
    _report_aside(aside)
    return inputs


def _report_aside(aside: Iterable[tuple[Source, SetAside]]) -> None:
    """A line for each folder and reason."""
    counts = Counter((source.folder, str(reason)) for source, reason in aside)
    for (folder, reason), count in counts.items():
        complain(f"set aside: {count_text(count, 'file')} of {folder}: {reason}")


def _read(
    source: Source, machines_for: Callable[[Source], tuple[Machine, ...]], *, answers: bool
) -> Input:
    played_on = machines_for(source)
    data = read_bytes(source.path)
    transcript = parse_bytes(data, source.name, answers=answers)
    if source.listed and (needs := unmet_needs(transcript)):
        why = f"no machine has {' or '.join(needs)}"
        raise SetAside(why, UsageError(f"{source.name}: {why}"))
    for machine in played_on:
        check_constants(transcript, symbols_of(machine.abi))
    check_answers(transcript)
    return Input(
        source, data.decode(), transcript, played_on, tuple(_undefined(source.name, transcript))
    )


def _undefined(file: str, transcript: Transcript) -> Iterable[Warned]:
    defined = transcript.defined()
    for name, place in transcript.undefined.items():
        near = difflib.get_close_matches(name, defined, n=1)
        meant = f" (did you mean '{near[0]}'?)" if near else ""
        message = f"nothing in the file defines '{name}', so it stands for -1{meant}"
        yield Warned(file, place.line, place.column, message)


def warn(inputs: Iterable[Input]) -> None:
    """Writes the warnings to standard error."""
    for each in inputs:
        for warning in each.warnings:
            complain(f"{warning.file}:{warning.line}:{warning.column}: warning: {warning.message}")
