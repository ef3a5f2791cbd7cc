# SPDX-License-Identifier: MIT
"""Tasks of asyncio that wait for descriptors of an emulated process.

An event loop watches one descriptor of the host for each process that it waits for, an eventfd that
the core signals, however many tasks there are. Whoever makes a file ready takes no lock of Python's
and calls nothing of Python; no thread waits, so a cancelled task leaves none behind. The descriptor
goes with the last task that waits.
"""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING

from . import _core

if TYPE_CHECKING:
    from .process import Process

__all__ = ["Waits"]


class Waits:
    """What the tasks of one event loop wait for, of one process."""

    def __init__(self, process: Process, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._host_process = os.getpid()
        self._futures: dict[int, asyncio.Future[bool]] = {}
        self._bell = _core.Bell(process)
        loop.add_reader(self._bell.fileno(), self._rang)

    async def wait(self, fd: int, seconds: float | None) -> bool:
        """True once `fd` is readable, False after `seconds`."""
        number = self._bell.watch(fd)
        future: asyncio.Future[bool] = self._loop.create_future()
        self._futures[number] = future
        timer = None if seconds is None else self._loop.call_later(seconds, self._late, future)
        try:
            return await future
        finally:
            if timer is not None:
                timer.cancel()
            del self._futures[number]
            if self._mine():
                self._bell.unwatch(number)

    def end(self) -> bool:
        """Ends it all if no task waits any more."""
        if self._futures:
            return False
        if self._mine():
            self._loop.remove_reader(self._bell.fileno())
        # Closes its descriptor now: the traceback of a cancelled task may keep this object.
        del self._bell
        return True

    def _mine(self) -> bool:
        """False in a child of `os.fork()`, whose event loop shares its epoll with the parent's."""
        return os.getpid() == self._host_process

    @staticmethod
    def _late(future: asyncio.Future[bool]) -> None:
        if not future.done():
            future.set_result(False)

    def _rang(self) -> None:
        for number in self._bell.take():
            future = self._futures.get(number)
            if future is None or future.done():
                continue
            try:
                readable = self._bell.readable(number)
            except Exception as refused:
                future.set_exception(refused)
            else:
                if readable:
                    future.set_result(True)
