# SPDX-License-Identifier: MIT
"""Who is notified of every machine that is made or closed: the pytest plugin.

A module of its own, so that the plugin can enlist without loading the rest of the package.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from .system import System

__all__ = ["MOST_OBSERVED", "Observer", "observers"]

#: The calls of a machine that are recorded for an observer, which has no say in how many are made.
MOST_OBSERVED = 10_000


class Observer(Protocol):
    """Called in the thread that makes or closes the machine; what it raises is raised there."""

    @property
    def records(self) -> bool:
        """Whether machines that are made now record the calls of their processes."""

    def made(self, system: System) -> None:
        """`system` has just been made; no process runs on it yet."""

    def closing(self, system: System) -> None:
        """`system` is about to be closed; its processes still run."""


#: In the order in which they are called.
observers: list[Observer] = []
