# SPDX-License-Identifier: MIT
"""Work done by several processes, its results in the order of the work.

Workers are started anew and not forked: a machine belongs to the process that made it, and a child
of `fork` would have a copy of whatever the parent holds.
"""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import TypeVar

from ._errors import UsageError

__all__ = ["in_order"]

_Work = TypeVar("_Work")
_Result = TypeVar("_Result")


def in_order(
    function: Callable[[_Work], _Result], work: Sequence[_Work], jobs: int
) -> Generator[_Result]:
    """`function` of each, in order; by `jobs` processes, where that is more than 1.

    Closing the generator gives up what was not begun. Raises what `function` raises, and UsageError
    where a worker was killed.
    """
    if jobs == 1 or len(work) < 2:
        yield from map(function, work)
        return
    pool = ProcessPoolExecutor(
        min(jobs, len(work)),
        mp_context=multiprocessing.get_context("spawn"),
        initializer=_leave_interrupts_to_the_parent,
    )
    try:
        futures = [pool.submit(function, each) for each in work]
        for future in futures:
            yield future.result()
    except BrokenProcessPool:
        raise UsageError("a worker process was killed, and its results are lost") from None
    finally:
        pool.shutdown(cancel_futures=True)


def _leave_interrupts_to_the_parent() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
