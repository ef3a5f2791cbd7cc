# SPDX-License-Identifier: MIT
"""Processes: their calls, how they are refused, and that nothing given to them does harm."""

from __future__ import annotations

import array
import ctypes
import errno
import gc
import os
import select
import threading
import time
from collections.abc import Callable, Iterator
from mmap import MAP_PRIVATE, MAP_SHARED, PROT_READ

import pytest

from kvmiommu import MemoryFault, Process, Refusal, System
from kvmiommu.uapi import vfio
from programs import (
    GROUP,
    PRIVATE,
    READ_WRITE,
    map_dma,
    memory,
    outcome,
    q35,
    type1,
    unmap_dma,
)

PAGE = 4096


@pytest.fixture
def system() -> Iterator[System]:
    with System() as running:
        yield running


@pytest.fixture
def process(system: System) -> Process:
    return system.process()


# -- refusals


def test_a_refusal_is_an_oserror_that_says_why(process: Process) -> None:
    container, _ = type1(process)
    with pytest.raises(OSError, match="not a multiple") as refused:
        map_dma(process, container, 0x123, memory(process), PAGE)
    error = refused.value
    assert error.errno == errno.EINVAL
    assert isinstance(error, Refusal)
    assert "123" in error.reason
    assert "vfio_iommu_type1.c" in error.source
    assert error.strerror == f"{error.reason} [{error.source}]"
    assert (error.request, error.filename) == ("VFIO_IOMMU_MAP_DMA", None)
    assert str(error) == f"[Errno 22] Invalid argument: VFIO_IOMMU_MAP_DMA: {error.strerror}"


@pytest.mark.parametrize(
    ("kind", "call"),
    [
        (FileNotFoundError, lambda process: process.open("/dev/nothing", os.O_RDWR)),
        (NotADirectoryError, lambda process: process.open("/dev/null/x", os.O_RDWR)),
        (IsADirectoryError, lambda process: process.open("/dev/vfio", os.O_RDONLY)),
        (FileExistsError, lambda process: process.open("/dev/null", os.O_CREAT | os.O_EXCL)),
        (BlockingIOError, lambda process: process.read(process.eventfd(0, os.O_NONBLOCK), 8)),
        (PermissionError, lambda process: process.setrlimit(7, 1 << 21, 1 << 21)),
    ],
)
def test_the_subclass_goes_with_the_errno(
    process: Process, kind: type[OSError], call: Callable[[Process], object]
) -> None:
    with pytest.raises(kind, match=r".+"):
        call(process)


def test_another_user_may_not(process: Process) -> None:
    process.setresuid(1000, 1000, 1000)
    assert process.uid == 1000
    with pytest.raises(PermissionError, match="1000"):
        process.setresuid(0, 0, 0)
    with pytest.raises(PermissionError):
        process.open(GROUP, os.O_RDWR)
    with pytest.raises(OSError, match="not the same"):
        process.setresuid(1, 2, 3)


# -- descriptors


def test_descriptors_start_behind_the_three_that_every_process_has(process: Process) -> None:
    assert [process.write(fd, b"gone") for fd in range(3)] == [4, 4, 4]
    assert process.read(0, 8) == b""
    assert process.open("/dev/null", os.O_RDWR) == 3
    assert process.dup(3) == 4
    process.close(3)
    assert process.eventfd() == 3  # the lowest that is free


def test_no_more_than_the_limit(process: Process) -> None:
    process.setrlimit(7, 5, 1024)
    assert [process.dup(0), process.dup(0)] == [3, 4]
    assert outcome(lambda: process.dup(0)) == -errno.EMFILE
    assert outcome(lambda: process.open("/dev/null", 0)) == -errno.EMFILE
    process.setrlimit(7, 6, 1024)
    assert process.dup(0) == 5


@pytest.mark.parametrize("fd", [-1, -(2**31), 99, 2**31 - 1])
def test_a_descriptor_that_is_not_open(process: Process, fd: int) -> None:
    calls: list[Callable[[], object]] = [
        lambda: process.close(fd),
        lambda: process.dup(fd),
        lambda: process.read(fd, 1),
        lambda: process.write(fd, b"x"),
        lambda: process.pread(fd, 1, 0),
        lambda: process.pwrite(fd, b"x", 0),
        lambda: process.ftruncate(fd, 0),
        lambda: process.ioctl(fd, 1),
        lambda: process.mmap(PAGE, PROT_READ, MAP_SHARED, fd),
    ]
    assert [outcome(call) for call in calls] == [-errno.EBADF] * len(calls)
    assert process.poll(fd, select.POLLIN) == (0 if fd < 0 else select.POLLNVAL)


# -- arguments of ioctl()


STATUS = vfio.VFIO_GROUP_GET_STATUS


def test_blocks_of_every_kind_are_written_back(process: Process) -> None:
    group = process.open(GROUP, os.O_RDWR)
    raw = bytearray(b"\x08" + bytes(7))
    struct = vfio.vfio_group_status(argsz=8)
    numbers = array.array("I", [8, 0])
    part = bytearray(b"\xff" * 4 + b"\x08" + bytes(7) + b"\xff" * 4)
    for block in (raw, struct, numbers, memoryview(part)[4:12]):
        assert process.ioctl(group, STATUS, block) == 0
    assert raw == bytes([8, 0, 0, 0, 1, 0, 0, 0])
    assert struct.flags == numbers[1] == vfio.VFIO_GROUP_FLAGS_VIABLE
    assert part == b"\xff" * 4 + raw + b"\xff" * 4


def test_blocks_that_cannot_be_written_are_only_read(process: Process) -> None:
    group = process.open(GROUP, os.O_RDWR)
    for data in (bytes([8, 0, 0, 0, 0, 0, 0, 0]), memoryview(bytes([8] + [0] * 7))):
        assert process.ioctl(group, STATUS, data) == 0
        assert bytes(data) == bytes([8, 0, 0, 0, 0, 0, 0, 0])


def test_a_number_is_a_number_and_none_is_zero(process: Process) -> None:
    container, group = type1(process)
    assert process.ioctl(container, vfio.VFIO_CHECK_EXTENSION, vfio.VFIO_TYPE1_IOMMU) == 1
    assert process.ioctl(container, vfio.VFIO_CHECK_EXTENSION, None) == 0
    assert process.ioctl(container, vfio.VFIO_CHECK_EXTENSION) == 0
    for pointer in (None, 0, 1, -1, -(2**63), 2**63, 2**64 - 1):
        assert outcome(lambda: process.ioctl(group, STATUS, pointer)) == -errno.EFAULT  # noqa: B023
    # An address of the process's own memory is as good as a block.
    address = memory(process)
    process.poke(address, b"\x08")
    assert process.ioctl(group, STATUS, address) == 0
    assert process.peek(address + 4, 1) == b"\x03"


def test_behind_the_block_are_zeros(process: Process) -> None:
    """A struct that is cut off reads as zero behind what was given, whatever was there before."""
    group = process.open(GROUP, os.O_RDWR)
    outcome(lambda: process.ioctl(group, STATUS, bytearray(b"\xff" * 8192)))
    block = bytearray([8])
    assert process.ioctl(group, STATUS, block) == 0  # argsz 8: three bytes came from behind
    assert block == b"\x08"
    assert outcome(lambda: process.ioctl(group, STATUS, b"")) == -errno.EINVAL  # argsz 0


def test_a_refused_call_leaves_the_block_as_it_was(process: Process) -> None:
    """It is written back then too; no call that is refused now has changed it."""
    container, _ = type1(process)
    before = bytes(vfio.vfio_iommu_type1_dma_unmap(argsz=24, flags=64, iova=1, size=2))
    block = bytearray(before)
    assert outcome(lambda: process.ioctl(container, vfio.VFIO_IOMMU_UNMAP_DMA, block)) == (
        -errno.EINVAL
    )
    assert block == before
    block.append(0)  # nothing holds the buffer after the call


def test_a_large_block(process: Process) -> None:
    group = process.open(GROUP, os.O_RDWR)
    block = bytearray(8 << 20)
    block[0] = 8
    block[-1] = 77
    assert process.ioctl(group, STATUS, block) == 0
    assert (block[4], block[-1]) == (1, 77)
    assert process.mapped_bytes == 0


@pytest.mark.parametrize("argument", [1.5, "text", object(), [], memoryview(bytearray(8))[::2]])
def test_what_is_no_argument(process: Process, argument: object) -> None:
    with pytest.raises((TypeError, BufferError)):
        process.ioctl(0, 1, argument)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "call",
    [
        lambda process: process.ioctl(2**31, 1),
        lambda process: process.ioctl(0, -1),
        lambda process: process.ioctl(0, 2**32),
        lambda process: process.ioctl("0", 1),
        lambda process: process.open(3, 0),
        lambda process: process.open("\ud800", 0),
        lambda process: process.open("/dev/null", 2**40),
        lambda process: process.read(0, -1),
        lambda process: process.read(0, 2**64),
        lambda process: process.write(0, "text"),
        lambda process: process.write(0, None),
        lambda process: process.pread(0, 1, 2**63),
        lambda process: process.peek(-1, 1),
        lambda process: process.peek(0, -1),
        lambda process: process.poke(0, "text"),
        lambda process: process.view(0, -1),
        lambda process: process.mmap(-1, 3, PRIVATE),
        lambda process: process.mmap(None, 3, PRIVATE),
        lambda process: process.munmap(-4096, 4096),
        lambda process: process.poll(0, 2**32),
        lambda process: process.eventfd(2**32),
        lambda process: process.memfd_create(None),
        lambda process: process.setrlimit(8, -1, -1),
        lambda process: process.setrlimit(8, "a", None),
        lambda process: process.setrlimit(8, 2**64, None),
        lambda process: process.setresuid(-1, -1, -1),
        lambda process: setattr(process, "fail_nth", -1),
        lambda process: process.status(None),
        lambda process: Process(3),
    ],
)
def test_what_python_can_tell_is_wrong(process: Process, call: Callable[[Process], object]) -> None:
    with pytest.raises((TypeError, ValueError, OverflowError)) as raised:
        call(process)
    assert "Unable to cast" not in str(raised.value)
    assert "incompatible function arguments" not in str(raised.value)


@pytest.mark.parametrize("length", [2**32, 2**47, 2**63, 2**64 - 1])
def test_lengths_that_nobody_has(process: Process, length: int) -> None:
    address = memory(process)
    for call in (
        lambda: process.peek(address, length),
        lambda: process.peek(0, length),
    ):
        with pytest.raises(MemoryFault):
            call()
    assert outcome(lambda: process.view(address, length)) == -errno.EFAULT
    assert outcome(lambda: process.mmap(length, READ_WRITE, PRIVATE)) == -errno.ENOMEM
    assert outcome(lambda: process.munmap(address, length)) in (None, -errno.EINVAL)
    assert outcome(lambda: process.read(process.eventfd(1), length)) in (
        b"\1" + bytes(7),
        -errno.EFAULT,
        -errno.ENOMEM,
    )
    container, _ = type1(process)
    aligned = length & ~(PAGE - 1)
    assert outcome(lambda: map_dma(process, container, 0, address, aligned)) in (
        -errno.EINVAL,
        -errno.EFAULT,
    )
    assert process.status("VmLck") == 0


@pytest.mark.parametrize("align", [3, 2**47, 2**63])
def test_an_alignment_that_no_address_has(process: Process, align: int) -> None:
    assert outcome(lambda: process.mmap(PAGE, READ_WRITE, PRIVATE, align=align)) == -errno.EINVAL


# -- reads and writes


def test_reads_and_writes_of_a_memfd(process: Process) -> None:
    fd = process.memfd_create("file")
    assert process.write(fd, b"hello") == 5
    assert process.write(fd, bytearray(b" world")) == 6
    assert process.read(fd, 8) == b""  # the position is behind
    assert process.pread(fd, 100, 0) == b"hello world"
    assert process.pwrite(fd, memoryview(b"HELLO"), 0) == 5
    assert process.pread(fd, 5, 0) == b"HELLO"
    assert process.write(fd, b"") == 0
    process.ftruncate(fd, 3)
    assert process.pread(fd, 100, 0) == b"HEL"
    assert process.pread(fd, 100, 2**62) == b""
    assert outcome(lambda: process.pread(fd, 1, -1)) == -errno.EINVAL
    assert outcome(lambda: process.ftruncate(fd, -1)) == -errno.EINVAL


def test_an_eventfd_counts(process: Process) -> None:
    fd = process.eventfd(3, os.O_NONBLOCK)
    assert process.poll(fd, select.POLLIN | select.POLLOUT) == select.POLLIN | select.POLLOUT
    assert process.read(fd, 8) == (3).to_bytes(8, "little")
    assert process.poll(fd, select.POLLIN) == 0
    assert outcome(lambda: process.read(fd, 8)) == -errno.EAGAIN
    assert outcome(lambda: process.read(fd, 7)) == -errno.EINVAL
    assert outcome(lambda: process.write(fd, b"\xff" * 8)) == -errno.EINVAL
    assert outcome(lambda: process.pread(fd, 8, 0)) == -errno.ESPIPE


def _while_it_sleeps(call: Callable[[], object], wake: Callable[[], None]) -> object:
    """What the call answers that first sleeps and is then woken."""
    answers: list[object] = []
    thread = threading.Thread(target=lambda: answers.append(outcome(call)))
    thread.start()
    time.sleep(0.02)
    assert thread.is_alive()
    wake()
    thread.join(10)
    assert not thread.is_alive(), "it sleeps on"
    return answers[0]


def test_a_read_that_sleeps_is_interrupted(process: Process) -> None:
    fd = process.eventfd()
    assert _while_it_sleeps(lambda: process.read(fd, 8), process.interrupt) == -errno.EINTR


def test_a_read_that_sleeps_is_answered(process: Process) -> None:
    fd = process.eventfd()
    one = (1).to_bytes(8, "little")
    assert _while_it_sleeps(lambda: process.read(fd, 8), lambda: process.write(fd, one)) == one


def test_a_read_that_sleeps_does_not_outlive_its_process(process: Process) -> None:
    fd = process.eventfd()
    assert _while_it_sleeps(lambda: process.read(fd, 8), process.exit) == -errno.EINTR


# -- memory


def test_a_user_address_is_a_real_address(process: Process) -> None:
    address = memory(process)
    process.poke(address, b"seen")
    assert ctypes.string_at(address, 4) == b"seen"


def test_a_fault_says_which_signal_and_where(process: Process) -> None:
    address = memory(process)
    process.mprotect(address, PAGE, PROT_READ)
    with pytest.raises(MemoryFault, match="SIGSEGV") as fault:
        process.poke(address, b"xy")
    assert (fault.value.signal, fault.value.address, fault.value.length) == ("SIGSEGV", address, 2)
    process.munmap(address, PAGE)
    with pytest.raises(MemoryFault, match=f"{address:#x}"):
        process.peek(address, 1)
    file = process.memfd_create("short")
    address = process.mmap(2 * PAGE, READ_WRITE, MAP_SHARED, file)
    with pytest.raises(MemoryFault, match="SIGBUS"):
        process.peek(address, 1)
    process.ftruncate(file, 1)
    assert process.peek(address, PAGE) == bytes(PAGE)
    with pytest.raises(MemoryFault, match="SIGBUS"):
        process.peek(address, PAGE + 1)


def test_bytes_before_a_fault_are_stored(process: Process) -> None:
    address = memory(process)
    with pytest.raises(MemoryFault):
        process.poke(address + PAGE - 2, b"abcd")
    assert process.peek(address + PAGE - 2, 2) == b"ab"


def test_files_are_mapped_shared_and_private(process: Process) -> None:
    file = process.memfd_create("file")
    process.pwrite(file, b"first", 0)
    shared = process.mmap(PAGE, READ_WRITE, MAP_SHARED, file)
    private = process.mmap(PAGE, READ_WRITE, MAP_PRIVATE, file)
    process.poke(private, b"mine ")
    process.poke(shared, b"yours")
    assert process.pread(file, 5, 0) == b"yours"
    assert process.peek(private, 5) == b"mine "


def test_a_view_shows_the_memory_whatever_becomes_of_the_process(system: System) -> None:
    process = system.process()
    address = memory(process, 2)
    view = process.view(address + 100, PAGE)
    assert (view.nbytes, view.format, view.readonly) == (PAGE, "B", False)
    view[:5] = b"hello"
    assert process.peek(address + 100, 5) == b"hello"
    process.munmap(address, PAGE)
    assert bytes(view[:5]) == b"hello"
    memory(process, 8)  # takes other frames
    process.exit()
    assert bytes(view[:5]) == b"hello"
    system.close()
    view[:5] = b"there"
    del process
    gc.collect()
    assert bytes(view[:5]) == b"there"
    assert system.used_frames == 2
    view.release()
    assert system.used_frames == 0


def test_a_view_outlives_everything() -> None:
    system = System()
    process = system.process()
    view = process.view(memory(process), PAGE)
    system.close()
    del system, process
    gc.collect()
    view[0] = 1
    assert view[0] == 1


def test_a_view_of_what_a_device_still_has(process: Process, system: System) -> None:
    container, _ = type1(process)
    address = memory(process)
    view = process.view(address, PAGE)
    map_dma(process, container, 0, address, PAGE)
    process.munmap(address, PAGE)
    view.release()
    assert system.pinned_frames == 1
    assert process.status("VmLck") == 4
    assert unmap_dma(process, container, 0, PAGE) == PAGE
    assert system.pinned_frames == process.status("VmLck") == 0


def test_memory_for_arguments_is_out_of_reach(process: Process) -> None:
    """A process that unmaps everything does not get the memory that its calls are made with."""
    outcome(lambda: process.ioctl(0, 1, bytearray(8)))
    process.munmap(0, 2**47 - PAGE)
    address = process.mmap(4 << 16, READ_WRITE, PRIVATE)
    process.poke(address, b"\xaa" * (4 << 16))
    outcome(lambda: process.ioctl(0, 1, bytearray(8)))
    assert process.peek(address, 4 << 16) == b"\xaa" * (4 << 16)


def test_no_more_mappings_than_the_host_can_bear(process: Process) -> None:
    """Every other page of another protection: refused at last, as vm.max_map_count does."""
    pages = 40_000
    address = memory(process, pages)

    def protect() -> None:
        for at in range(0, pages, 2):
            process.mprotect(address + at * PAGE, PAGE, PROT_READ)

    assert outcome(protect) == -errno.ENOMEM
    assert outcome(lambda: memory(process)) == -errno.ENOMEM
    process.munmap(address, pages * PAGE)
    memory(process)


def test_peek_makes_no_room_for_what_is_not_there() -> None:
    with System(q35(memory="32G")) as system:
        process = system.process()
        before = time.perf_counter()
        with pytest.raises(MemoryFault):
            process.peek(memory(process), 30 << 30)
        assert time.perf_counter() - before < 1


# -- what a process is charged


def test_the_limit_of_locked_memory(process: Process) -> None:
    container, _ = type1(process)
    address = memory(process, 4)
    process.setresuid(1000, 1000, 1000)
    process.setrlimit(8, 2 * PAGE, 2 * PAGE)
    assert outcome(lambda: map_dma(process, container, 0, address, 3 * PAGE)) == -errno.ENOMEM
    assert process.status("VmLck") == 0
    map_dma(process, container, 0, address, 2 * PAGE)
    assert process.status("VmLck") == 8
    assert process.locked_vm == 2 * PAGE
    with pytest.raises(ValueError, match="VmLck"):
        process.status("VmRSS")


def test_repr_says_whose_and_how_much(process: Process) -> None:
    memory(process, 3)
    assert repr(process) == "<Process of user 0, 12 KiB mapped>"
