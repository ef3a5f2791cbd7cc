# SPDX-License-Identifier: MIT
"""What a failed test shows of its machines."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING
from weakref import ref

if TYPE_CHECKING:
    import pytest

    from kvmiommu import System

__all__ = ["Witness"]

#: A test that makes many machines, as Hypothesis does, shows the last ones: the failing example is
#: the last that it runs.
MOST_MACHINES = 4
#: Of faults and stale uses, the last ones.
MOST_EVENTS = 10


class Witness:
    """Sees the machines that one test makes."""

    def __init__(self, trace: int) -> None:
        self._trace = trace
        self._seen: deque[_Machine] = deque(maxlen=MOST_MACHINES)
        self._count = 0

    def made(self, system: System) -> None:
        self._count += 1
        self._seen.append(_Machine(system, self._count))
        if self._trace:
            system.keep_trace(self._trace)

    def closing(self, system: System) -> None:
        for seen in self._seen:
            if seen.is_of(system):
                seen.look()

    def sections(self, item: pytest.Item) -> list[tuple[str, str]]:
        """One for each machine of which there is something to say."""
        sections = []
        for seen in self._seen:
            seen.look()
            if text := seen.text():
                number = f" {seen.number} of {self._count}" if self._count > 1 else ""
                sections.append((f"kvmiommu machine{number}: {seen.name}", text))
        return sections


class _Machine:
    """What there is to say about a machine; the machine itself may go at any time."""

    def __init__(self, system: System, number: int) -> None:
        self.name = system.machine.name
        self.number = number
        self._system = ref(system)
        self._calls: list[str] = []
        self._faults: list[str] = []
        self._stale: list[str] = []
        self._closed = False

    def is_of(self, system: System) -> bool:
        return self._system() is system

    def look(self) -> None:
        """Writes down what the machine says now, unless it has gone."""
        system = self._system()
        if system is None or self._closed:
            return
        self._calls = [str(record) for record in system.trace()]
        self._faults = [str(fault) for fault in system.dma_faults()[-MOST_EVENTS:]]
        self._stale = [str(use) for use in system.stale_uses()[-MOST_EVENTS:]]

    def text(self) -> str:
        parts = []
        for title, lines in (
            ("the last calls", self._calls),
            ("DMA that was refused", self._faults),
            ("uses of stale translations", self._stale),
        ):
            if lines:
                parts.append("\n".join((f"{title}:", *lines)))
        return "\n\n".join(parts)
