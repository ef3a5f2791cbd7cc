# SPDX-License-Identifier: MIT
"""Waiting for a descriptor to become readable: in a thread, and in tasks of asyncio."""

from __future__ import annotations

import asyncio
import gc
import math
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from kvmiommu import Process, Refusal, System

ONE = (1).to_bytes(8, "little")


@pytest.fixture
def system() -> Iterator[System]:
    with System() as running:
        yield running


@pytest.fixture
def process(system: System) -> Process:
    return system.process()


def host_descriptors() -> int:
    gc.collect()  # systems of other tests have some
    return len(os.listdir("/proc/self/fd"))


def after_a_while(call: Callable[[], object]) -> threading.Timer:
    timer = threading.Timer(0.03, call)
    timer.start()
    return timer


async def until_it_waits(process: Process, tasks: int = 1) -> None:
    """Runs the other tasks until so many of them wait."""
    while sum(len(waits._futures) for waits in process._waits.values()) < tasks:
        await asyncio.sleep(0)


# -- in a thread


def test_a_wait_ends_when_the_eventfd_is_signalled_and_reads_nothing(process: Process) -> None:
    fd = process.eventfd()
    timer = after_a_while(lambda: process.write(fd, ONE))
    assert process.wait(fd) is True
    assert process.wait(fd, 0) is True
    assert process.read(fd, 8) == ONE
    timer.join()


@pytest.mark.parametrize("timeout", [0, 0.0, 0.01, 0.06])
def test_a_wait_that_is_over_returns_false(process: Process, timeout: float) -> None:
    fd = process.eventfd()
    start = time.monotonic()
    assert process.wait(fd, timeout) is False
    assert time.monotonic() - start >= timeout


def test_files_without_readiness_are_always_ready(process: Process) -> None:
    assert process.wait(process.open("/dev/vfio/vfio", os.O_RDWR)) is True


WRONG_TIMEOUTS = [-1, -0.001, math.nan, -math.inf]


@pytest.mark.parametrize("timeout", WRONG_TIMEOUTS)
def test_a_timeout_is_a_number_of_seconds_from_0_up(process: Process, timeout: float) -> None:
    fd = process.eventfd(1)
    calls: list[Callable[[], object]] = [
        lambda: process.wait(fd, timeout),
        lambda: process.read(fd, 8, timeout=timeout),
        lambda: process.write(fd, ONE, timeout=timeout),
        lambda: process.ioctl(fd, 0, timeout=timeout),
        lambda: asyncio.run(process.wait_async(fd, timeout)),
    ]
    for call in calls:
        with pytest.raises(ValueError, match=rf"timeout is {float(timeout)}: must be None or a"):
            call()
    assert process.read(fd, 8) == ONE


def test_an_infinite_timeout_is_none(process: Process) -> None:
    assert process.wait(process.eventfd(1), math.inf) is True


def test_a_wait_for_what_is_not_open_is_refused(process: Process) -> None:
    for fd in (99, -1):
        with pytest.raises(Refusal, match="Bad file descriptor"):
            process.wait(fd, 0)
        with pytest.raises(Refusal, match="Bad file descriptor"):
            asyncio.run(process.wait_async(fd, 0))


@pytest.mark.parametrize("end", [lambda p, s: p.interrupt(), lambda p, s: s.close()])
def test_an_interrupt_and_the_end_of_the_system_end_a_wait(
    system: System, process: Process, end: Callable[[Process, System], None]
) -> None:
    fd = process.eventfd()
    timer = after_a_while(lambda: end(process, system))
    with pytest.raises(InterruptedError):
        process.wait(fd, 10)
    timer.join()


def test_a_signal_handler_that_raises_ends_a_wait(process: Process) -> None:
    def handler(*_: object) -> None:
        raise KeyError("alarm")

    before = signal.signal(signal.SIGALRM, handler)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.03)
        with pytest.raises(KeyError, match="alarm"):
            process.wait(process.eventfd(), 10)
    finally:
        signal.signal(signal.SIGALRM, before)


def test_a_wait_outlives_the_descriptor_that_it_was_given(process: Process) -> None:
    fd = process.eventfd()
    other = process.dup(fd)

    def close_and_signal() -> None:
        process.close(fd)
        process.write(other, ONE)

    timer = after_a_while(close_and_signal)
    assert process.wait(fd, 10) is True
    timer.join()


def test_many_threads_wait_for_one_eventfd_and_all_of_them_return(process: Process) -> None:
    fd = process.eventfd()
    answers: list[bool] = []
    threads = [
        threading.Thread(target=lambda: answers.append(process.wait(fd, 30))) for _ in range(16)
    ]
    for thread in threads:
        thread.start()
    process.write(fd, ONE)
    for thread in threads:
        thread.join()
    assert answers == [True] * 16


# -- in tasks of asyncio


def test_a_task_waits_while_others_run(process: Process) -> None:
    async def main() -> list[str]:
        fd = process.eventfd()
        order: list[str] = []

        async def waiter() -> None:
            assert await process.wait_async(fd) is True
            order.append(f"read {int.from_bytes(process.read(fd, 8), 'little')}")

        task = asyncio.create_task(waiter())
        await until_it_waits(process)
        order.append("write")
        process.write(fd, ONE)
        await task
        return order

    assert asyncio.run(main()) == ["write", "read 1"]
    assert len(process._waits) == 0


def test_a_task_returns_at_once_when_there_is_nothing_to_wait_for(process: Process) -> None:
    fd = process.eventfd(1)
    with pytest.raises(StopIteration) as ended:
        process.wait_async(fd).send(None)  # no event loop is needed
    assert ended.value.value is True


@pytest.mark.parametrize("timeout", [0, 0.02])
def test_a_wait_of_a_task_that_is_over_returns_false(process: Process, timeout: float) -> None:
    assert asyncio.run(process.wait_async(process.eventfd(), timeout)) is False
    assert len(process._waits) == 0


def test_a_signal_from_another_thread_wakes_a_task(process: Process) -> None:
    fd = process.eventfd()
    timer = after_a_while(lambda: process.write(fd, ONE))
    assert asyncio.run(process.wait_async(fd, 30)) is True
    timer.join()


def test_a_thousand_tasks_wait_with_one_descriptor_of_the_host(process: Process) -> None:
    async def main() -> None:
        process.setrlimit(7, 2000, 2000)
        fds = [process.eventfd() for _ in range(1000)]
        before = host_descriptors()
        tasks = [asyncio.create_task(process.wait_async(fd)) for fd in fds]
        await until_it_waits(process, 1000)
        assert host_descriptors() == before + 1
        assert threading.active_count() == 1
        for fd in reversed(fds):
            process.write(fd, ONE)
        assert await asyncio.gather(*tasks) == [True] * 1000
        assert host_descriptors() == before

    asyncio.run(main())


def test_tasks_that_wait_for_one_eventfd_all_return(process: Process) -> None:
    async def main() -> None:
        fd = process.eventfd()
        tasks = [asyncio.create_task(process.wait_async(fd)) for _ in range(10)]
        await until_it_waits(process, 10)
        process.write(fd, ONE)
        assert await asyncio.gather(*tasks) == [True] * 10

    asyncio.run(main())


def test_a_task_that_finds_the_counter_taken_waits_on(process: Process) -> None:
    async def main() -> None:
        fd = process.eventfd()
        task = asyncio.create_task(process.wait_async(fd))
        await until_it_waits(process)
        await asyncio.sleep(0)
        process.write(fd, ONE)
        process.read(fd, 8)
        await asyncio.sleep(0.02)
        assert not task.done()
        process.write(fd, ONE)
        assert await task is True

    asyncio.run(main())


def test_a_cancelled_task_leaves_nothing(process: Process) -> None:
    async def main() -> None:
        fd = process.eventfd()
        before = host_descriptors()
        for _ in range(3):
            task = asyncio.create_task(process.wait_async(fd))
            await until_it_waits(process)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(process.wait_async(fd), 0.01)
        assert (host_descriptors(), threading.active_count()) == (before, 1)
        process.write(fd, ONE)  # wakes nobody
        assert await process.wait_async(fd) is True

    asyncio.run(main())
    assert len(process._waits) == 0


def test_a_task_that_is_cancelled_as_its_wait_ends_leaves_nothing(process: Process) -> None:
    async def main() -> None:
        fd = process.eventfd()
        task = asyncio.create_task(process.wait_async(fd))
        await until_it_waits(process)
        process.write(fd, ONE)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert process.read(fd, 8) == ONE

    asyncio.run(main())
    assert len(process._waits) == 0


def test_an_event_loop_that_ends_leaves_nothing(process: Process) -> None:
    """asyncio.run() cancels what still waits; a loop that is only closed drops it."""
    fd = process.eventfd()
    before = host_descriptors()

    async def leave_it() -> None:
        leave_it.task = asyncio.create_task(process.wait_async(fd))  # type: ignore[attr-defined]
        await until_it_waits(process)

    asyncio.run(leave_it())
    assert (host_descriptors(), len(process._waits)) == (before, 0)

    loop = asyncio.new_event_loop()
    loop.set_exception_handler(lambda *_: None)  # "Task was destroyed but it is pending!"
    loop.run_until_complete(leave_it())
    loop.close()
    del leave_it.task, loop  # type: ignore[attr-defined]
    gc.collect()
    assert (host_descriptors(), len(process._waits)) == (before, 0)


def test_the_end_of_the_process_ends_the_wait_of_a_task() -> None:
    async def main() -> None:
        system = System()
        process = system.process()
        tasks = [asyncio.create_task(process.wait_async(process.eventfd())) for _ in range(3)]
        await until_it_waits(process, 3)
        system.close()  # would raise LeakError if a wait kept a file
        for task in tasks:
            with pytest.raises(InterruptedError, match="the process exited"):
                await task
        with pytest.raises(OSError, match="Bad file descriptor"):
            await process.wait_async(3)

    asyncio.run(main())


def test_a_closed_descriptor_that_has_a_twin_still_wakes_its_task(process: Process) -> None:
    async def main() -> None:
        fd = process.eventfd()
        twin = process.dup(fd)
        task = asyncio.create_task(process.wait_async(fd, 30))
        await until_it_waits(process)
        process.close(fd)
        assert process.open("/dev/null", os.O_RDWR) == fd
        process.write(twin, ONE)
        assert await task is True

    asyncio.run(main())


def test_a_descriptor_that_is_closed_for_good_ends_with_the_timeout(process: Process) -> None:
    async def main() -> None:
        fd = process.eventfd()
        task = asyncio.create_task(process.wait_async(fd, 0.02))
        await until_it_waits(process)
        process.close(fd)
        assert await task is False

    asyncio.run(main())


def test_event_loops_in_several_threads_wait_for_one_process(process: Process) -> None:
    fd = process.eventfd()
    answers: list[bool] = []
    threads = [
        threading.Thread(target=lambda: answers.append(asyncio.run(process.wait_async(fd, 30))))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    process.write(fd, ONE)
    for thread in threads:
        thread.join()
    assert answers == [True] * 8
    assert len(process._waits) == 0


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_child_of_the_host_disturbs_no_wait(process: Process) -> None:
    async def main() -> None:
        fd = process.eventfd()
        task = asyncio.create_task(process.wait_async(fd, 30))
        await until_it_waits(process)
        child = os.fork()
        if child == 0:
            answer = 1
            try:
                process.wait(fd, 0)
            except OSError as error:
                answer = error.errno
            task.get_coro().close()  # type: ignore[union-attr]
            os._exit(answer or 0)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 5  # EIO
        process.write(fd, ONE)
        assert await task is True

    asyncio.run(main())
