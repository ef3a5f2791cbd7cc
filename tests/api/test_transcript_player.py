# SPDX-License-Identifier: MIT
"""The player: how calls reach a process, and how answers are written."""

from __future__ import annotations

import errno
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kvmiommu.transcript import (
    Player,
    TranscriptError,
    buffer_alignment,
    check_constants,
    parse,
    replay,
    unmet_needs,
)

MINUS_ONE = 2**64 - 1
CONSTANTS = {"O_RDWR": 2, "REQ": 0x3B71, "POLLIN": 1, "H_GET_TCE": 0x1C, "H_PUT_TCE": 0x20}


class FaultError(Exception):
    """A memory fault as the core raises it."""

    def __init__(self, signal: str, reason: str) -> None:
        self.signal = signal
        super().__init__(reason)


class FakeGuest:
    """Refuses arguments that begin with 1; else 0 and 0xabc. Sends 7 to user space."""

    def __init__(self) -> None:
        self.calls: list[tuple[int, ...]] = []

    def hcall(self, number: int, arguments: tuple[int, ...]) -> tuple[int, int] | None:
        self.calls.append((number, *arguments))
        if number == 7:
            return None
        return (MINUS_ONE - 3, 0xDEF) if arguments[0] == 1 else (0, 0xABC)


class FakeProcess:
    """Descriptors that count up, one page of memory at 0x200000, and ioctls that a test gives."""

    BASE = 0x200000

    def __init__(self, ioctl: Callable[[int, int, Any], int] | None = None) -> None:
        self.log: list[tuple[Any, ...]] = []
        self.memory = bytearray(0x2000)
        self.next_fd = 3
        self._ioctl = ioctl

    def _fd(self) -> int:
        self.next_fd += 1
        return self.next_fd - 1

    def open(self, path: str, flags: int) -> int:
        self.log.append(("open", path, flags))
        if path == "/none":
            raise OSError(errno.ENOENT, "no such device node: /none")
        return self._fd()

    def close(self, fd: int) -> None:
        self.log.append(("close", fd))
        if fd < 0:
            raise OSError(errno.EBADF, f"{fd} is not open")

    def dup(self, fd: int) -> int:
        if fd < 0:
            raise OSError(errno.EBADF, f"{fd} is not open")
        return self._fd()

    def eventfd(self, initval: int = 0, flags: int = 0) -> int:
        self.log.append(("eventfd", initval, flags))
        return self._fd()

    def memfd_create(self, name: str, flags: int = 0) -> int:
        self.log.append(("memfd", name, flags))
        return self._fd()

    def ftruncate(self, fd: int, size: int) -> None:
        self.log.append(("ftruncate", fd, size))

    def ioctl(self, fd: int, request: int, arg: Any = 0) -> int:
        self.log.append(("ioctl", fd, request, bytes(arg) if isinstance(arg, bytearray) else arg))
        return self._ioctl(fd, request, arg) if self._ioctl else 0

    def read(self, fd: int, length: int) -> bytes:
        return b"" if fd < 0 else bytes(range(length))

    def write(self, fd: int, data: bytes) -> int:
        self.log.append(("write", fd, data))
        return len(data)

    def pread(self, fd: int, length: int, offset: int) -> bytes:
        self.log.append(("pread", fd, length, offset))
        return bytes(length)

    def pwrite(self, fd: int, data: bytes, offset: int) -> int:
        self.log.append(("pwrite", fd, data, offset))
        return len(data)

    def poll(self, fd: int, events: int) -> int:
        self.log.append(("poll", fd, events))
        return events

    def mmap(
        self,
        length: int,
        prot: int,
        flags: int,
        fd: int = -1,
        offset: int = 0,
        *,
        align: int | None = None,
    ) -> int:
        self.log.append(("mmap", length, prot, flags, fd, offset, align))
        if not length:
            raise OSError(errno.EINVAL, "a mapping of no bytes")
        return self.BASE

    def munmap(self, address: int, length: int) -> None:
        self.log.append(("munmap", address, length))

    def _at(self, address: int, length: int) -> slice:
        start = address - self.BASE
        if start < 0 or start + length > len(self.memory):
            raise FaultError("SIGSEGV", f"nothing is mapped at {address:#x}")
        return slice(start, start + length)

    def peek(self, address: int, length: int) -> bytes:
        return bytes(self.memory[self._at(address, length)])

    def poke(self, address: int, data: bytes) -> None:
        self.memory[self._at(address, len(data))] = data

    def setrlimit(self, resource: int, soft: int, hard: int) -> None:
        self.log.append(("setrlimit", resource, soft, hard))

    def setresuid(self, real: int, effective: int, saved: int) -> None:
        self.log.append(("setresuid", real, effective, saved))

    def status(self, key: str) -> int:
        return {"VmLck": 64, "VmPin": 0}[key]


class FakeProcessWithGuest(FakeProcess):
    def __init__(self) -> None:
        super().__init__()
        self.made = FakeGuest()

    def guest(self, kvm: int, vm: int, address: int, size: int) -> FakeGuest:
        self.log.append(("guest", kvm, vm, address, size))
        return self.made


class FakeSystem:
    opened = 0
    closed = 0

    def __init__(self, process: FakeProcess) -> None:
        type(self).opened += 1
        self._process = process

    def __enter__(self) -> FakeSystem:
        return self

    def __exit__(self, *_: object) -> None:
        type(self).closed += 1

    def process(self) -> FakeProcess:
        return self._process


def play(process: FakeProcess, *calls: str) -> list[tuple[str, ...]]:
    """The answers of these calls, each a tuple of its lines, without the leading spaces."""
    text = "".join(f"{call}\n  = 0\n" for call in calls)
    player = Player(process, CONSTANTS.__getitem__)
    outcomes = [player.perform(step) for step in parse(text).steps]
    return [tuple(line[2:] for line in outcome.lines) for outcome in outcomes]


def test_names_live_until_they_are_closed_and_outlive_a_failed_open() -> None:
    process = FakeProcess()
    play(
        process,
        "poll never 1",
        "open c /dev/kvm O_RDWR",
        "poll c 1",
        "open c /none O_RDWR",
        "poll c 1",
        "close c",
        "poll c 1",
        "poll $c 1",
    )
    assert [fd for name, fd, *_ in process.log if name == "poll"] == [-1, 3, 3, -1, -1]


def test_a_failed_dup_takes_the_name_with_it() -> None:
    process = FakeProcess()
    answers = play(process, "eventfd e", "dup e nothing", "poll e 1")
    assert answers[1] == ("= -EBADF",)
    assert process.log[-1] == ("poll", -1, 1)


def test_a_failed_close_closes_the_name_too() -> None:
    process = FakeProcess()
    assert play(process, "close c", "close c") == [("= -EBADF",)] * 2


def test_calls_reach_the_process_as_c_would_make_them() -> None:
    process = FakeProcess()
    answers = play(
        process,
        "mem b 0x1000 shared ro",
        "mem b 0x1000 huge",
        "unmem b+0x800 8",
        "eventfd e",
        "memfd m 0x1000",
        "mmap p m 8 1 2 -4096",
        "pread e 4 -1",
        "pwrite e -8 u16:0x102",
        "write e u32:-1 zero:2",
        "poll e POLLIN|0x10004",
        "memlock 0x10000",
        "uid -1",
        "status VmLck",
    )
    assert process.log == [
        ("mmap", 0x1000, 1, 0x21, -1, 0, 0x200000),
        ("mmap", 0x1000, 3, 0x40022, -1, 0, 0x200000),
        ("munmap", 0x200800, 8),
        ("eventfd", 0, 0o4000),
        ("memfd", "m", 0),
        ("ftruncate", 4, 0x1000),
        ("mmap", 8, 1, 2, 4, -4096, None),
        ("pread", 3, 4, -1),
        ("pwrite", 3, b"\x02\x01", -8),
        ("write", 3, b"\xff\xff\xff\xff\0\0"),
        ("poll", 3, 5),
        ("setrlimit", 8, 0x10000, 0x10000),
        ("setresuid", 0xFFFFFFFF, 0xFFFFFFFF, 0xFFFFFFFF),
    ]
    results = " ".join(answer[0].removeprefix("= ") for answer in answers)
    assert results == "ok ok 0 ok ok ok 4 2 6 5 0 0 64"


def test_what_is_read_is_shown_in_hex_and_zeros_as_zeros() -> None:
    answers = play(FakeProcess(), "eventfd e", "read e 3", "pread e 3 0", "read nothing 3")
    assert answers[1:] == [("= 3", "> hex:000102"), ("= 3", "> zero:3"), ("= 0",)]


def test_what_is_read_is_shown_in_the_fields_that_were_asked_for() -> None:
    process = FakeProcess()
    answers = play(
        process,
        "eventfd e",
        "read e 7 u16:0x100 u8:9 u32:0 u8:0 bind v 2 bind late 7",
        "poll v 1",
        "poll late 1",
        "mem b 0x2000",
        "fill b u32:7 u32:8",
        "peek b 8 u32:7 u32:0 bind w 4",
        "poll w 1",
        "peek b 3 u32:7",
    )
    assert answers[1] == ("= 7", "> u16:0x100 u8:v u32:0x6050403")
    assert answers[6] == ("= ok", "> u32:7 u32:w")
    assert answers[8] == ("= ok", ">")
    assert [entry[1] for entry in process.log if entry[0] == "poll"] == [2, -1, 8]


def test_a_read_that_reads_nothing_binds_nothing() -> None:
    process = FakeProcess()
    answers = play(process, "read nothing 4 u32:0 bind v 0", "poll v 1")
    assert answers[0] == ("= 0",)
    assert process.log[-1] == ("poll", -1, 1)


def test_a_bind_that_names_no_field_of_a_read_is_an_error() -> None:
    with pytest.raises(TranscriptError, match=r"'bind v 2'.*the offset of a number: 0, 4"):
        play(FakeProcess(), "eventfd e", "read e 8 u32:0 u32:0 bind v 2")


def test_a_write_of_nothing_is_made() -> None:
    process = FakeProcess()
    assert play(process, "eventfd e", "write e")[1] == ("= 0",)
    assert process.log[-1] == ("write", 3, b"")


def test_a_memfd_is_made_with_its_flags() -> None:
    process = FakeProcess()
    play(process, "memfd m 0x1000 huge sealable", "memfd m 8 sealable")
    assert [entry[2] for entry in process.log if entry[0] == "memfd"] == [6, 2]


def test_buffers_are_aligned_to_a_huge_page_of_the_machine() -> None:
    assert buffer_alignment("x86_64", 4096) == buffer_alignment("ppc64le", 65536) == 2 << 20
    arm = [buffer_alignment("aarch64", size << 10) for size in (4, 16, 64)]
    assert arm == [2 << 20, 32 << 20, 512 << 20]
    process = FakeProcess()
    text = "mem b 0x1000\n  = ok\n"
    replay(parse(text), lambda: FakeSystem(process), CONSTANTS.__getitem__, alignment=arm[1])
    assert process.log[-1][-1] == 32 << 20


def test_no_process_forks_or_seals_here() -> None:
    text = "child close c\n  = 0\nseal c 1\n  = 0\n"
    player = Player(FakeProcess(), CONSTANTS.__getitem__)
    child, seal = [player.perform(step) for step in parse(text).steps]
    assert (child.result, child.reason) == (None, "no process of this emulator forks")
    assert (seal.result, seal.reason) == (None, "no file of this emulator has seals")


@pytest.mark.parametrize(
    ("text", "needs"),
    [
        ("open i /dev/iommu O_RDWR\n  = ok\n", ("/dev/iommu",)),
        ("open i /dev/iommu O_RDWR\n  = -ENOENT\n", ()),
        ("open d /dev/vfio/devices/vfio0 O_RDWR\n  = ok\n", ("/dev/vfio/devices",)),
        ("open c /dev/vfio/vfio O_RDWR\n  = ok\n", ()),
        ("child close c\n  = -EBADF\n", ("child",)),
        ("child open i /dev/iommu 0\n  = ok\nclose i\n  = 0\n", ("child", "/dev/iommu")),
    ],
)
def test_what_no_machine_has_is_found_in_a_transcript(text: str, needs: tuple[str, ...]) -> None:
    assert unmet_needs(parse(text)) == needs


def test_memory_answers_ok_or_the_signal() -> None:
    answers = play(
        FakeProcess(),
        "mem b 0x2000",
        "fill b+2 u16:0x1234",
        "peek b 4",
        "peek b+4 2",
        "poke b+0x2000 u8:1",
        "peek 0 1",
    )
    assert answers[1:] == [
        ("= ok",),
        ("= ok", "> hex:00003412"),
        ("= ok", "> zero:2"),
        ("= SIGSEGV",),
        ("= SIGSEGV",),
    ]


def test_an_ioctl_gets_nothing_a_value_or_the_block() -> None:
    process = FakeProcess()
    play(
        process,
        "ioctl 7 REQ",
        "ioctl 7 REQ null",
        "ioctl 7 REQ val:-1",
        "ioctl 7 REQ u8:0x1ff u16:1 fd:-1 str:ab hex:09",
    )
    assert process.log == [
        ("ioctl", 7, 0x3B71, 0),
        ("ioctl", 7, 0x3B71, 0),
        ("ioctl", 7, 0x3B71, MINUS_ONE),
        ("ioctl", 7, 0x3B71, b"\xff\x01\x00\xff\xff\xff\xffab\0\x09"),
    ]


def overwrite(data: bytes) -> Callable[[int, int, Any], int]:
    """An ioctl that writes `data` over its block."""

    def ioctl(_fd: int, _request: int, arg: Any) -> int:
        arg[: len(data)] = data
        return 0

    return ioctl


def test_a_field_is_shown_as_written_until_it_changes() -> None:
    words = "u32:O_RDWR u32:16 u64:1 ptr:1 fd:1 hex:01 zero:2 str:a u16:5"
    block = b"".join(
        n.to_bytes(size, "little")
        for n, size in [
            (2, 4),
            (17, 4),
            (0, 8),
            (9, 8),
            (9, 4),
            (0, 1),
            (0x0100, 2),
            (0, 2),
            (5, 2),
        ]
    )
    (answer,) = play(FakeProcess(overwrite(block)), f"ioctl 1 REQ {words}")
    assert answer == (
        "= 0",
        "> u32:O_RDWR u32:0x11 u64:0x0 ptr:changed fd:changed zero:1 hex:0001 hex:0000 u16:5",
    )


def test_the_block_of_a_refused_call_is_shown_as_it_stands() -> None:
    def ioctl(_fd: int, _request: int, arg: Any) -> int:
        arg[0] = 7
        raise OSError(errno.E2BIG, "the kernel knows 7 bytes of it")

    answers = play(FakeProcess(ioctl), "ioctl 1 REQ u32:9 fd:1 bind x 4", "poll x 1")
    assert answers[0] == ("= -E2BIG", "> u32:0x7 fd:1")


def test_errors_without_a_name_in_the_format_are_numbers() -> None:
    def ioctl(_fd: int, request: int, _arg: Any) -> int:
        raise OSError(request, "because")

    answers = play(FakeProcess(ioctl), "ioctl 1 524", "ioctl 1 52", "ioctl 1 95", "ioctl 1 35")
    assert answers == [("= -E524",), ("= -E52",), ("= -EOPNOTSUPP",), ("= -EDEADLK",)]


def test_bound_fields_and_returned_descriptors_get_names() -> None:
    process = FakeProcess(lambda _fd, _request, arg: arg.__setitem__(4, 9) or 21)
    answers = play(
        process,
        "ioctl 1 REQ u32:12 u32:0 u32:0 bind first 4 bind second 8 -> made",
        "poll made 1",
        "poll $first 1",
        "poll $second 1",
    )
    assert answers[0] == ("= ok", "> u32:12 u32:first u32:second")
    assert [entry[1] for entry in process.log[1:]] == [21, 9, 0]


def test_a_bind_that_names_no_field_is_an_error() -> None:
    expected = r"<text>:1:1: 'bind x 2'; expected the offset of a number: 0, 4$"
    with pytest.raises(TranscriptError, match=expected):
        play(FakeProcess(), "ioctl 1 REQ u32:1 u32:2 bind x 2")


def test_a_block_has_an_end() -> None:
    with pytest.raises(TranscriptError, match=r"'zero:0xf001' makes too long; expected at most"):
        play(FakeProcess(), "fill 0 zero:0xf001")


def test_a_guest_gets_its_code_and_answers_hypercalls() -> None:
    process = FakeProcessWithGuest()
    answers = play(
        process,
        "hcall H_PUT_TCE 1",
        "mem ram 0x2000",
        "guest 4 5 ram",
        "hcall H_PUT_TCE 1 2",
        "hcall H_GET_TCE 1",
        "hcall H_PUT_TCE 2",
        "hcall H_GET_TCE 2",
        "hcall 7",
        "peek ram+0xf00 4",
        "peek ram+0x1000 8",
    )
    assert answers == [
        ("= -EBADF",),
        ("= ok",),
        ("= ok",),
        ("= -4",),
        ("= -4",),
        ("= 0",),
        ("= 0 0xabc",),
        ("= exit",),
        ("= ok", "> hex:00000048"),
        ("= ok", "> hex:220000447823857c"),
    ]
    assert ("guest", 4, 5, FakeProcess.BASE, 0x2000) in process.log
    assert process.made.calls[0] == (0x20, 1, 2, 0, 0, 0)


def test_unknown_constants_are_found_before_anything_is_played() -> None:
    transcript = parse("close c\n  = 0\nmemlock A_NEW_ONE\n  = 0\n", "a.uapi")
    message = r"a\.uapi:3:9: the unknown constant 'A_NEW_ONE'; expected a constant of the kernel's"
    with pytest.raises(TranscriptError, match=message):
        check_constants(transcript, CONSTANTS.__getitem__)
    process = FakeProcess()
    with pytest.raises(TranscriptError, match=message):
        replay(transcript, lambda: FakeSystem(process), CONSTANTS.__getitem__)
    assert process.log == []


def test_replay_tells_what_differs_and_why(tmp_path: Path) -> None:
    file = tmp_path / "a.uapi"
    file.write_text(
        "open c /none O_RDWR\n  = ok\n"
        "open c /dev/kvm O_RDWR\n  = ok\n"
        "ioctl c REQ u32:1 u32:2\n  = 0\n  > u32:1 u32:0x3\n"
        "guest c c ram\n  = ok\n"
        "ioctl c REQ null\n  = 0\n",
        encoding="utf-8",
    )
    opened, closed = FakeSystem.opened, FakeSystem.closed
    result = replay(file, lambda: FakeSystem(FakeProcess()), CONSTANTS.__getitem__)
    assert (FakeSystem.opened - opened, FakeSystem.closed - closed) == (1, 1)
    assert result.answers == 5
    assert result.file == str(file)
    refused, block, guest = result.differences
    assert (refused.line, refused.call) == (1, "open c /none O_RDWR")
    assert (refused.recorded, refused.got) == (("  = ok",), ("  = -ENOENT",))
    assert refused.reason == "no such device node: /none"
    assert block.fields() == [(1, "u32:0x3", "u32:2")]
    assert block.reason == ""
    assert guest.got == ()
    assert guest.reason == "this emulator has no guests: its process has no guest()"


def test_a_fault_of_the_emulator_is_a_difference_and_the_rest_is_played() -> None:
    def ioctl(_fd: int, _request: int, _arg: Any) -> int:
        raise OverflowError("too large for a C long")

    transcript = parse("ioctl 1 REQ\n  = 0\nstatus VmPin\n  = 0\n")
    result = replay(transcript, lambda: FakeSystem(FakeProcess(ioctl)), CONSTANTS.__getitem__)
    (difference,) = result.differences
    assert difference.got == ()
    assert difference.reason == "the emulator raised OverflowError: too large for a C long"
    assert result.answers == 2
