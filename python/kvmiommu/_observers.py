# SPDX-License-Identifier: MIT
"""Who is told of every machine that is made or closed: the pytest plugin.

A module of its own, so that the plugin can enlist without loading the rest of the package.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from .system import System

__all__ = ["Observer", "observers"]


class Observer(Protocol):
    """Called in the thread that makes or closes the machine; what it raises is raised there."""

    def made(self, system: System) -> None:
        """`system` has just been made; no process runs on it yet."""

    def closing(self, system: System) -> None:
        """`system` is about to be closed; its processes still run."""


#: In the order in which they are called.
observers: list[Observer] = []
