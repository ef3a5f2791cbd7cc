# SPDX-License-Identifier: MIT
"""What a failed test shows of its machines."""

from __future__ import annotations

import contextlib
import itertools
import re
import shlex
import tempfile
from collections import deque
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING
from weakref import ref

from kvmiommu.machine import names

from ._fail_nth import injection_of
from ._mappings import mapped

if TYPE_CHECKING:
    import pytest

    from kvmiommu import System
    from kvmiommu.machine import Machine
    from kvmiommu.recording import Recorder

__all__ = ["Witness"]

#: A test that makes many machines, as Hypothesis does, shows the last ones: the failing example is
#: the last that it runs.
MOST_MACHINES = 4
#: Of faults, stale uses and mappings, the last ones.
MOST_LINES = 10
#: A longer transcript is a file of its own.
SCREENFUL = 40
WIDTH = 240


class Witness:
    """Sees the machines that one test makes, and those that are there when it begins."""

    def __init__(self, trace: int, running: Iterable[System] = ()) -> None:
        self._trace = trace
        self._seen: deque[_Machine] = deque(maxlen=MOST_MACHINES)
        self._count = 0
        #: They are the test's business as soon as it makes a call on them.
        self._shared = [_Machine(system) for system in running]

    def made(self, system: System) -> None:
        self._count += 1
        self._seen.append(_Machine(system))
        if self._trace:
            system.keep_trace(self._trace)

    def closing(self, system: System) -> None:
        for seen in (*self._shared, *self._seen):
            if seen.is_of(system):
                seen.look()
                seen.closed = True

    def forget(self) -> None:
        """What has been shown is not shown again, should the test's end fail too."""
        self._seen.clear()
        self._shared.clear()

    def sections(self, item: pytest.Item) -> list[tuple[str, str]]:
        """One for each machine of which there is something to say."""
        if not self._trace:
            return []
        sections = []
        shared = [each for each in self._shared if each.was_called()]
        count = len(shared) + self._count
        first = count - len(self._seen) + 1
        numbers = [*range(1, len(shared) + 1), *range(first, count + 1)]
        for number, seen in zip(numbers, (*shared, *self._seen), strict=True):
            seen.look()
            if text := seen.text(item, number):
                which = f" {number} of {count}" if count > 1 else ""
                sections.append((f"kvmiommu machine{which}: {seen.machine.name}", text))
        return sections


class _Machine:
    """What there is to say about a machine; the machine itself may go at any time."""

    def __init__(self, system: System) -> None:
        self.machine: Machine = system.machine
        self.closed = False
        self._system = ref(system)
        # The recorder knows of no machine, so that keeping it keeps none.
        self._recorder: Recorder | None = system._recorder
        self._calls = self._recorder.calls if self._recorder is not None else 0
        self._parts: list[tuple[str, list[str]]] = []

    def was_called(self) -> bool:
        return self._recorder is not None and self._recorder.calls > self._calls

    def is_of(self, system: System) -> bool:
        return self._system() is system

    def look(self) -> None:
        """Writes down what the machine says now, unless it was closed or has gone."""
        system = self._system()
        if system is None or self.closed:
            return
        self._parts = [
            ("the last calls", [str(record) for record in system.trace()]),
            ("DMA that was refused", [str(fault) for fault in system.dma_faults()]),
            ("uses of stale translations", [str(use) for use in system.stale_uses()]),
        ]

    def text(self, item: pytest.Item, number: int) -> str:
        recorder = self._recorder
        transcript = recorder.transcript() if recorder is not None else ""
        mappings = mapped(transcript, recorder.addresses()) if recorder is not None else []
        parts = [*self._parts, ("mapped for devices at the end", mappings)]
        shown = [_part(title, lines) for title, lines in parts if lines]
        if any(line and not line.startswith("#") for line in transcript.splitlines()):
            shown.append(self._replay(item, number, transcript))
        return "\n\n".join(shown)

    def _replay(self, item: pytest.Item, number: int, transcript: str) -> str:
        """Where the calls can be played again; the calls themselves where they are few."""
        stem = re.sub(r"[^A-Za-z0-9_.-]+", "-", item.nodeid).strip("-")[-120:]
        injection = injection_of(item)
        repetition = f"-repetition{injection.nth}" if injection is not None else ""
        name = f"{stem}{repetition}-{number}"
        path = _write_new(_directory(item), name, transcript)
        machine = self.machine.name
        if machine not in names() or not self._is_as_it_comes():
            described = path.with_suffix(".toml")
            described.write_text(self.machine.text(), encoding="utf-8")
            machine = str(described)
        command = shlex.join(["kvmiommu", "replay", "--machine", machine, str(path)])
        lines = [f"to make the calls again:\n  {command}"]
        if len(transcript.splitlines()) <= SCREENFUL:
            lines.append(transcript.rstrip())
        return "\n".join(lines)

    def _is_as_it_comes(self) -> bool:
        from kvmiommu.machine import load  # noqa: PLC0415 - for failed tests alone

        return load(self.machine.name).text() == self.machine.text()


def _part(title: str, lines: list[str]) -> str:
    most = len(lines) if title == "the last calls" else MOST_LINES
    left = f" (the last {most} of {len(lines)})" if len(lines) > most else ""
    cut = [line if len(line) <= WIDTH else f"{line[: WIDTH - 3]}..." for line in lines[-most:]]
    return "\n".join((f"{title}{left}:", *cut))


def _write_new(directory: Path, name: str, transcript: str) -> Path:
    """A file that nobody has yet: unlike tests may have names that are alike."""
    for number in itertools.count(1):
        path = directory / (f"{name}.uapi" if number == 1 else f"{name}-{number}.uapi")
        with contextlib.suppress(FileExistsError), path.open("x", encoding="utf-8") as file:
            file.write(transcript)
            return path
    raise AssertionError


def _directory(item: pytest.Item) -> Path:
    """A folder of this run's for transcripts: beside the tests' own temporary folders."""
    factory = getattr(item.config, "_tmp_path_factory", None)
    if factory is None:  # -p no:tmpdir
        return Path(tempfile.mkdtemp(prefix="kvmiommu-"))
    directory: Path = factory.getbasetemp() / "kvmiommu"
    directory.mkdir(exist_ok=True)
    return directory
