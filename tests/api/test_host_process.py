# SPDX-License-Identifier: MIT
"""The process of the host: its forks, its signals, its end, its interpreters, its collector."""

from __future__ import annotations

import errno
import gc
import multiprocessing
import os
import signal
import struct
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Callable
from types import FrameType
from typing import ClassVar

import pytest

from kvmiommu import Process, System, iommu, pci

ADDRESS = "0000:00:05.0"
PRIVATE_ANONYMOUS = 0x22
PAGE = 4096


class Model(pci.DeviceModel):
    bars: ClassVar = {0: pci.Bar(PAGE)}
    system: System


def run(program: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False
    )


# --- fork ---


def in_a_child(act: Callable[[], object]) -> str:
    """What `act` says in a child of this process: its value, or the name of its errno."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            said = repr(act())
        except OSError as error:
            said = errno.errorcode[error.errno or 0]
        except BaseException as error:
            said = repr(error)
        os.write(writer, said.encode())
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as pipe:
        said = pipe.read()
    assert os.waitpid(child, 0)[1] == 0
    return said


def test_every_call_of_an_inherited_machine_is_refused() -> None:
    with System(models={ADDRESS: Model}) as system:
        process = system.process()
        buffer = process.mmap(PAGE, 3, PRIVATE_ANONYMOUS)
        process.poke(buffer, b"parent")
        calls: list[Callable[[], object]] = [
            lambda: process.peek(buffer, 6),
            lambda: process.poke(buffer, b"child"),
            lambda: process.munmap(buffer, PAGE),
            lambda: process.open("/dev/vfio/vfio", os.O_RDWR),
            lambda: process.uid,
            lambda: process.view(buffer, 6),
            process.exit,
            process.interrupt,
            system.close,
            system.process,
            system.trace,
            lambda: system.alive,
            system.models[ADDRESS].raise_interrupt,
            lambda: system.models[ADDRESS].dma_read(0, 8),
            lambda: System(models={ADDRESS: lambda: system.models[ADDRESS]}),
        ]
        assert [in_a_child(call) for call in calls] == ["EIO"] * len(calls)
        assert process.peek(buffer, 6) == b"parent"


def test_the_refusal_says_why() -> None:
    system = System()

    def reason() -> object:
        try:
            return system.process()
        except OSError as refused:
            return refused

    assert "belongs to the process that forked" in in_a_child(reason)


def test_finalizers_of_a_child_leave_the_machine_alone() -> None:
    world: dict[str, object] = {}
    with System(models={ADDRESS: Model}) as system:
        process = system.process()
        buffer = process.mmap(1 << 20, 3, PRIVATE_ANONYMOUS)
        process.poke(buffer, b"parent")
        world["view"] = process.view(buffer, 1 << 20)
        world["other"] = System()

        def forget() -> None:
            nonlocal process, system
            world.clear()
            del process, system
            gc.collect()

        assert in_a_child(forget) == "None"
        assert process.peek(buffer, 6) == b"parent"
        assert isinstance(world["view"], memoryview)
        assert bytes(world["view"][:6]) == b"parent"
        world.clear()


def test_a_machine_that_the_child_makes_works() -> None:
    with System() as system:
        process = system.process()

        def make() -> bytes:
            with System() as own:
                child = own.process()
                at = child.mmap(PAGE, 3, PRIVATE_ANONYMOUS)
                child.poke(at, b"child")
                return child.peek(at, 5)

        assert in_a_child(make) == "b'child'"
        assert process.uid == 0


def test_tables_without_a_machine_belong_to_their_process_too() -> None:
    domain = iommu.Domain("amdv1")
    domain.map(0, 1 << 32, PAGE)
    assert in_a_child(lambda: domain.unmap(0, PAGE)) == "EIO"
    assert in_a_child(lambda: domain.iova_to_phys(0)) == "EIO"
    assert in_a_child(lambda: domain.memory.used) == "EIO"
    assert in_a_child(lambda: iommu.Domain("amdv1", memory=domain.memory)) == "EIO"
    assert domain.iova_to_phys(0) == 1 << 32


def test_multiprocessing_may_fork() -> None:
    with System() as system:
        process = system.process()
        buffer = process.mmap(PAGE, 3, PRIVATE_ANONYMOUS)
        process.poke(buffer, b"parent")
        context = multiprocessing.get_context("fork")
        child = context.Process(target=_in_a_worker, args=(process, buffer))
        child.start()
        child.join()
        assert child.exitcode == errno.EIO
        assert process.peek(buffer, 6) == b"parent"


def _in_a_worker(process: Process, buffer: int) -> None:
    try:
        process.munmap(buffer, PAGE)
    except OSError as error:
        sys.exit(error.errno)


# --- sleeping ---


class AlarmError(Exception):
    pass


def test_what_a_signal_handler_raises_ends_a_sleep() -> None:
    def ring(_number: int, _frame: FrameType | None) -> None:
        raise AlarmError

    with System() as system:
        process = system.process()
        eventfd = process.eventfd()
        before = signal.signal(signal.SIGALRM, ring)
        try:
            signal.setitimer(signal.ITIMER_REAL, 0.01)
            with pytest.raises(AlarmError) as raised:
                process.read(eventfd, 8)
        finally:
            signal.signal(signal.SIGALRM, before)
        assert raised.value.__context__ is None
        process.write(eventfd, struct.pack("<Q", 3))
        assert process.read(eventfd, 8) == struct.pack("<Q", 3)


def test_a_handler_that_returns_lets_the_call_sleep_on() -> None:
    with System() as system:
        process = system.process()
        eventfd = process.eventfd()
        before = signal.signal(
            signal.SIGALRM, lambda *_: process.write(eventfd, struct.pack("<Q", 5))
        )
        try:
            signal.setitimer(signal.ITIMER_REAL, 0.01)
            assert process.read(eventfd, 8) == struct.pack("<Q", 5)
        finally:
            signal.signal(signal.SIGALRM, before)


def test_a_sleep_has_a_timeout() -> None:
    with System() as system:
        process = system.process()
        eventfd = process.eventfd()
        for timeout in (0, 0.01, 0.06):
            start = time.monotonic()
            with pytest.raises(TimeoutError):
                process.read(eventfd, 8, timeout=timeout)
            assert time.monotonic() - start >= timeout
        process.write(eventfd, struct.pack("<Q", 2**64 - 2))
        with pytest.raises(TimeoutError):
            process.write(eventfd, struct.pack("<Q", 1), timeout=0.01)
        assert process.read(eventfd, 8, timeout=0) == struct.pack("<Q", 2**64 - 2)
        for wrong in (-1, float("nan")):
            with pytest.raises(ValueError, match="seconds"):
                process.read(eventfd, 8, timeout=wrong)


def test_a_call_that_close_wakes_is_no_leak() -> None:
    for _ in range(20):
        with System() as system:
            process = system.process()
            eventfd = process.eventfd()
            ended: list[int | None] = []

            def sleep(
                process: Process = process, fd: int = eventfd, to: list[int | None] = ended
            ) -> None:
                try:
                    process.read(fd, 8)
                except OSError as error:
                    to.append(error.errno)

            thread = threading.Thread(target=sleep)
            thread.start()
        thread.join()
        assert ended in ([errno.EINTR], [errno.EBADF], [errno.ENOMEM])  # it may begin late


@pytest.mark.parametrize(
    "last", ["process.interrupt()", "system.close()", "pass", "del system, process"]
)
def test_a_sleeping_daemon_thread_lets_the_interpreter_end(last: str) -> None:
    done = run(
        f"""
import threading, time
from kvmiommu import System
system = System(); process = system.process(); eventfd = process.eventfd()
def sleep(process=process):
    try: process.read(eventfd, 8)
    except OSError: pass
threading.Thread(target=sleep, daemon=True).start(); time.sleep(0.05)
{last}"""
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_a_daemon_thread_in_a_model_lets_the_interpreter_end() -> None:
    done = run(
        """
import struct, threading, time
from kvmiommu import System, pci
from kvmiommu.vfio import Container, Group
class Model(pci.DeviceModel):
    bars = {0: pci.Bar(4096)}
    def write(self, bar, offset, size, value): time.sleep(0.001)
system = System(models={"0000:00:05.0": Model}); process = system.process()
container, group = Container(process), Group(process, 4)
group.set_container(container); container.set_iommu()
device = group.get_device("0000:00:05.0"); device.write(7, 4, struct.pack("<H", 6))
def work(device=device):
    while True: device.write(0, 0, bytes(4))
for _ in range(4): threading.Thread(target=work, daemon=True).start()
time.sleep(0.05)
"""
    )
    assert (done.returncode, done.stderr) == (0, "")


# --- the collector ---


def test_a_model_that_knows_its_system_is_collected() -> None:
    system = System(models={ADDRESS: Model})
    model = system.models[ADDRESS]
    assert isinstance(model, Model)
    model.system = system
    gone = weakref.ref(model)
    system.close()
    del system, model
    gc.collect()
    assert gone() is None


def test_a_process_that_keeps_its_view_is_collected() -> None:
    class Own(Process):
        kept: memoryview

    system = System()
    process = Own(system)
    process.kept = process.view(process.mmap(PAGE, 3, PRIVATE_ANONYMOUS), PAGE)
    gone = weakref.ref(process)
    del system, process
    gc.collect()
    assert gone() is None


def test_what_is_in_use_is_not_collected() -> None:
    def make() -> Process:
        system = System(models={ADDRESS: Model})
        model = system.models[ADDRESS]
        assert isinstance(model, Model)
        model.system = system
        return system.process()

    process = make()
    gc.collect()
    address = process.mmap(PAGE, 3, PRIVATE_ANONYMOUS)
    view = process.view(address, PAGE)
    view[0] = 7
    del process
    gc.collect()
    assert view[0] == 7


# --- interpreters ---


def test_another_interpreter_cannot_import_it() -> None:
    name = "_xxsubinterpreters" if sys.version_info < (3, 13) else "_interpreters"
    done = run(
        f'''
import sys
import {name} as interpreters
program = f"import sys; sys.path[:] = {{sys.path}}\\n" + """
import kvmiommu
try: kvmiommu.System
except ImportError: pass
else: raise RuntimeError"""
for _ in range(2):
    other = interpreters.create()
    error = interpreters.run_string(other, program)
    assert error is None, error
    import kvmiommu
    with kvmiommu.System() as system: system.process()
'''
    )
    assert (done.returncode, done.stderr) == (0, "")
