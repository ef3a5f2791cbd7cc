# SPDX-License-Identifier: MIT
"""Performs the calls of a transcript on a process, and compares the answers with the record.

`Player` turns one call into calls of the process and writes the answer as the recorder would have
written it; `replay` plays a whole file on a fresh system and tells what differs, and why.

Neither knows a concrete system: they take whatever has the methods of `Process` and `System`.
"""

from __future__ import annotations

import errno
import functools
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Protocol, assert_never, cast

from kvmiommu import uapi
from kvmiommu.uapi import papr, posix

from . import syntax
from .syntax import Step, Token, Transcript, TranscriptError

__all__ = [
    "Difference",
    "FileResult",
    "Guest",
    "Outcome",
    "Player",
    "Process",
    "Symbols",
    "System",
    "check_constants",
    "replay",
    "symbols_of",
]

# -- what a player plays on ------------------------------------------------------------------------


class Guest(Protocol):
    """A POWER guest of one vcpu whose only action is to make hypercalls."""

    def hcall(
        self, number: int, arguments: tuple[int, int, int, int, int], /
    ) -> tuple[int, int] | None:
        """(R3, R4) where the kernel answered, R3 signed; None where the call went to user space.

        Raises OSError where KVM_RUN fails.
        """


class Process(Protocol):
    """A process of an emulated system. Refusals are OSError(errno, reason).

    `peek` and `poke` raise an exception whose attribute `signal` is "SIGSEGV" or "SIGBUS". A
    process that can start guests has a method `guest(kvm, vm, address, size) -> Guest` as well.
    """

    def open(self, path: str, flags: int, /) -> int: ...
    def close(self, fd: int, /) -> None: ...
    def dup(self, fd: int, /) -> int: ...
    def eventfd(self, initval: int = 0, flags: int = 0, /) -> int: ...
    def memfd_create(self, name: str, flags: int = 0, /) -> int: ...
    def ftruncate(self, fd: int, size: int, /) -> None: ...
    def ioctl(self, fd: int, request: int, arg: int | bytearray | None = 0, /) -> int: ...
    def read(self, fd: int, length: int, /) -> bytes: ...
    def write(self, fd: int, data: bytes, /) -> int: ...
    def pread(self, fd: int, length: int, offset: int, /) -> bytes: ...
    def pwrite(self, fd: int, data: bytes, offset: int, /) -> int: ...
    def poll(self, fd: int, events: int, /) -> int: ...
    def mmap(
        self,
        length: int,
        prot: int,
        flags: int,
        fd: int = -1,
        offset: int = 0,
        /,
        *,
        align: int = 0,
    ) -> int: ...
    def munmap(self, address: int, length: int, /) -> None: ...
    def peek(self, address: int, length: int, /) -> bytes: ...
    def poke(self, address: int, data: bytes, /) -> None: ...
    def setrlimit(self, resource: int, soft: int, hard: int, /) -> None: ...
    def setresuid(self, real: int, effective: int, saved: int, /) -> None: ...
    def status(self, key: str, /) -> int: ...


class EmulatedProcess(Protocol):
    """What programs need that were never recorded, only made up."""

    fail_nth: int

    def mprotect(self, address: int, length: int, prot: int, /) -> None: ...
    def _queue_hypercalls(self, fd: int, calls: Sequence[Sequence[int]], /) -> None: ...
    def _take_hypercall_answers(self, fd: int, /) -> list[tuple[int, int, int]]: ...


class System(Protocol):
    """An emulated system, closed when its `with` block ends."""

    def __enter__(self) -> System: ...
    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
        /,
    ) -> bool | None: ...
    def process(self) -> Process: ...


#: A constant's value by its name; LookupError where there is none.
Symbols = Callable[[str], int]


def symbols_of(abi: uapi.Abi) -> Symbols:
    """The constants of the kernel's headers, ioctl requests encoded as `abi` has them."""
    return functools.cache(lambda name: uapi.constant(name, abi))


def check_constants(transcript: Transcript, symbols: Symbols) -> None:
    """Raises TranscriptError for the first constant that `symbols` does not know."""
    for name, line in transcript.constants.items():
        try:
            symbols(name)
        except LookupError:
            raise _unknown_constant(transcript.file, line, name) from None


def _unknown_constant(file: str, line: int, name: str) -> TranscriptError:
    return TranscriptError(
        file, line, f"the unknown constant '{name}'", "a constant of the kernel's user headers"
    )


# -- what the format itself fixes ------------------------------------------------------------------

_RLIMIT_MEMLOCK = 8
_EFD_NONBLOCK = 0o4000
_BUFFER_ALIGNMENT = 2 << 20
_WORD = 0xFFFF_FFFF_FFFF_FFFF
_LONGEST_BLOCK = 65536 - 4096  # bytes; what the recorder has room for

#: The errors that a transcript names; every other one is E and its number.
# fmt: off
_NAMED_ERRORS = (
    "EPERM", "ENOENT", "EINTR", "EIO", "ENXIO", "E2BIG", "EBADF", "EAGAIN", "ENOMEM", "EACCES",
    "EFAULT", "EBUSY", "EEXIST", "EXDEV", "ENODEV", "EINVAL", "ENFILE", "EMFILE", "ENOTTY",
    "ENOSPC", "ESPIPE", "EROFS", "EPIPE", "EDOM", "ERANGE", "EDEADLK", "ENOSYS", "ENODATA",
    "EOVERFLOW", "EOPNOTSUPP", "EADDRINUSE", "ENOBUFS", "ETIMEDOUT", "EALREADY", "EPROTO", "EBADFD",
    "EMEDIUMTYPE", "ENOKEY", "ECANCELED", "EMSGSIZE", "ENOTDIR", "EISDIR",
)
# fmt: on
_ERROR_NAMES = {getattr(errno, name): name for name in _NAMED_ERRORS}

#: The guest's code, little-endian: `sc 1; mr r5,r4; mr r4,r3; li r3,0x7ffc; sc 1; b .`
_GUEST_CODE = b"".join(
    word.to_bytes(4, "little")
    for word in (0x44000022, 0x7C852378, 0x7C641B78, 0x38607FFC, 0x44000022, 0x48000000)
)
_GUEST_HANG = 0x48000000.to_bytes(4, "little")


def _signed(value: int, bits: int) -> int:
    """`value` as a C integer of that many bits holds it."""
    value &= (1 << bits) - 1
    return value - (1 << bits) if value >> (bits - 1) else value


def _int(value: int) -> int:
    return _signed(value, 32)


def _off_t(value: int) -> int:
    return _signed(value, 64)


# -- argument blocks -------------------------------------------------------------------------------


@dataclass(slots=True)
class _Field:
    """A token with its place in the block, the value it went in with, and how to print that."""

    token: Token
    offset: int
    size: int
    value: int
    text: str


def _decode(block: bytes | bytearray, fields: Iterable[_Field]) -> tuple[str, ...]:
    """The block as an answer shows it: what did not change as it was written, the rest in hex."""
    out = []
    for field in fields:
        kind = field.token.type
        data = block[field.offset : field.offset + field.size]
        if kind in ("hex", "zero", "str"):
            zero = kind != "str" and not any(data)
            out.append(f"zero:{field.size}" if zero else f"hex:{data.hex()}")
            continue
        now = int.from_bytes(data, "little")
        if now == field.value:
            out.append(f"{kind}:{field.text}")
        elif kind in ("ptr", "fd"):
            out.append(f"{kind}:changed")
        else:
            out.append(f"{kind}:{now:#x}")
    return tuple(out)


def _bytes_read(data: bytes) -> tuple[str, ...]:
    return (f"hex:{data.hex()}" if any(data) else f"zero:{len(data)}",)


# -- the player ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a call answered: the result, the block afterwards, and why a refusal refused.

    `result` is None where the call has no answer at all: this emulator cannot do it.
    """

    result: str | None
    fields: tuple[str, ...] | None = None
    reason: str = ""

    @property
    def lines(self) -> tuple[str, ...]:
        """The answer as a transcript writes it, a line each, without line ends."""
        if self.result is None:
            return ()
        return syntax.Answer(0, self.result, self.fields).lines


@dataclass(frozen=True, slots=True)
class _Name:
    value: int
    size: int | None = None  # of a buffer, in bytes


_OK = Outcome("ok")
_NO_GUESTS = Outcome(None, reason="this emulator has no guests: its process has no guest()")


class Player:
    """Performs calls on one process. Names live as long as the player.

    A name that was never given, or whose descriptor was closed, is -1; so is one whose `eventfd`,
    `memfd` or `dup` failed. Every other call that fails leaves its name on what it had.
    """

    def __init__(self, process: Process, symbols: Symbols) -> None:
        self._process = process
        self._symbols = symbols
        self._names: dict[str, _Name] = {}
        self._guest: Guest | None = None

    def perform(self, step: Step) -> Outcome:
        """Makes the call of `step`. Raises TranscriptError for a constant nobody knows.

        Whatever else the process raises is an outcome without an answer: a fault of the emulator.
        """
        try:
            return self._perform(step, step.call)
        except TranscriptError:
            raise
        except Exception as error:
            return _raised(error)

    # One branch for each call, so that a call that is missing is a type error.
    def _perform(self, step: Step, call: syntax.Call) -> Outcome:
        process, number = self._process, functools.partial(self._number, step)
        match call:
            case syntax.Ioctl():
                return self._ioctl(step, call)
            case syntax.Mem():
                return self._mem(step, call)
            case syntax.Unmem():
                process.munmap(number(call.address), number(call.size))
                return Outcome("0")
            case syntax.Fill() | syntax.Poke():
                process.poke(number(call.address), bytes(self._encode(step, call.tokens)[0]))
                return _OK
            case syntax.Peek():
                data = process.peek(number(call.address), number(call.length))
                return Outcome("ok", _bytes_read(data))
            case syntax.Open():
                self._set(call.name, process.open(call.path, _int(number(call.flags))))
                return _OK
            case syntax.Close():
                fd = _int(number(call.fd))
                # A closed name stays closed, whatever number is handed out next.
                self._set(call.fd.text.removeprefix("$"), -1)
                process.close(fd)
                return Outcome("0")
            case syntax.Dup():
                fd = _int(number(call.fd))
                return self._descriptor(call.name, lambda: process.dup(fd))
            case syntax.Eventfd():
                return self._descriptor(call.name, lambda: process.eventfd(0, _EFD_NONBLOCK))
            case syntax.Memfd():
                size = number(call.size)
                return self._descriptor(call.name, lambda: self._memfd(call.name, size))
            case syntax.Truncate():
                process.ftruncate(_int(number(call.fd)), _off_t(number(call.size)))
                return Outcome("0")
            case syntax.Protect():
                address, size = number(call.address), number(call.size)
                cast("EmulatedProcess", process).mprotect(address, size, _int(number(call.prot)))
                return Outcome("0")
            case syntax.Fail():
                cast("EmulatedProcess", process).fail_nth = number(call.nth) & 0xFFFF_FFFF
                return _OK
            case syntax.Mmap():
                length = number(call.length)
                address = process.mmap(
                    length,
                    _int(number(call.prot)),
                    _int(number(call.flags)),
                    _int(number(call.fd)),
                    _off_t(number(call.offset)),
                )
                self._set(call.name, address, length)
                return _OK
            case syntax.Read():
                return _read(process.read(_int(number(call.fd)), number(call.length)))
            case syntax.Pread():
                fd, offset = _int(number(call.fd)), _off_t(number(call.offset))
                return _read(process.pread(fd, number(call.length), offset))
            case syntax.Write():
                data = bytes(self._encode(step, call.tokens)[0])
                return Outcome(str(process.write(_int(number(call.fd)), data)))
            case syntax.Pwrite():
                data = bytes(self._encode(step, call.tokens)[0])
                fd, offset = _int(number(call.fd)), _off_t(number(call.offset))
                return Outcome(str(process.pwrite(fd, data, offset)))
            case syntax.Poll():
                events = _signed(number(call.events), 16)
                return Outcome(str(process.poll(_int(number(call.fd)), events)))
            case syntax.Memlock():
                limit = number(call.limit)
                process.setrlimit(_RLIMIT_MEMLOCK, limit, limit)
                return Outcome("0")
            case syntax.Uid():
                uid = number(call.uid) & 0xFFFF_FFFF
                process.setresuid(uid, uid, uid)
                return Outcome("0")
            case syntax.Status():
                return Outcome(str(process.status(call.key)))
            case syntax.Guest():
                return self._start_guest(step, call)
            case syntax.Hcall():
                return self._hcall(step, call)
            case syntax.Queue():
                hypercall = [number(call.number), *map(number, call.arguments)]
                emulated = cast("EmulatedProcess", process)
                emulated._queue_hypercalls(_int(number(call.vcpu)), [hypercall])
                return _OK
            case syntax.Answers():
                emulated = cast("EmulatedProcess", process)
                answers = emulated._take_hypercall_answers(_int(number(call.vcpu)))
                words = [each & _WORD for answer in answers for each in answer]
                fields = tuple(f"u64:{each:#x}" for each in words)
                return Outcome(str(len(answers)), fields or None)
            case _:
                assert_never(call)

    # -- names and numbers

    def _set(self, name: str, value: int, size: int | None = None) -> None:
        self._names[name] = _Name(value & 0xFFFF_FFFF_FFFF_FFFF, size)

    def _atom(self, step: Step, atom: syntax.Atom) -> int:
        match atom:
            case syntax.Integer():
                return atom.value
            case syntax.Variable():
                name = self._names.get(atom.name)
                return 0xFFFF_FFFF_FFFF_FFFF if name is None else name.value
            case syntax.Constant():
                try:
                    return self._symbols(atom.name)
                except LookupError:
                    raise _unknown_constant(step.file, step.line, atom.name) from None

    def _number(self, step: Step, number: syntax.Number) -> int:
        total = 0
        for terms in number.sums:
            total |= sum(self._atom(step, atom) for atom in terms)
        return total & 0xFFFF_FFFF_FFFF_FFFF

    def _encode(self, step: Step, tokens: tuple[Token, ...]) -> tuple[bytearray, list[_Field]]:
        """The bytes of a block, and its fields."""
        block = bytearray()
        fields = []
        for token in tokens:
            at = len(block)
            number = 0 if token.number is None else self._number(step, token.number)
            width = syntax.WIDTHS.get(token.type)
            if width is not None:
                number &= (1 << 8 * width) - 1
                block += number.to_bytes(width, "little")
            elif token.type != "zero":
                block += token.data
            elif at + number <= _LONGEST_BLOCK:
                block += bytes(number)
            if len(block) > _LONGEST_BLOCK or (token.type == "zero" and len(block) != at + number):
                raise step.error(f"a block that '{token}' makes too long", "at most 61440 bytes")
            fields.append(_Field(token, at, len(block) - at, number, token.text))
        return block, fields

    # -- calls of more than one step

    def _descriptor(self, name: str, make: Callable[[], int]) -> Outcome:
        """A call whose failure takes the name's old value too."""
        self._set(name, -1)
        self._set(name, make())
        return _OK

    def _memfd(self, name: str, size: int) -> int:
        fd = self._process.memfd_create(name, 0)
        self._process.ftruncate(fd, _off_t(size))
        return fd

    def _mem(self, step: Step, call: syntax.Mem) -> Outcome:
        size = self._number(step, call.size)
        flags = posix.MAP_ANONYMOUS | (posix.MAP_SHARED if call.shared else posix.MAP_PRIVATE)
        if call.huge:
            flags |= posix.MAP_HUGETLB
        prot = posix.PROT_READ if call.readonly else posix.PROT_READ | posix.PROT_WRITE
        address = self._process.mmap(size, prot, flags, -1, 0, align=_BUFFER_ALIGNMENT)
        self._set(call.name, address, size)
        return _OK

    def _ioctl(self, step: Step, call: syntax.Ioctl) -> Outcome:
        fd, request = _int(self._number(step, call.fd)), self._number(step, call.request)
        block: bytearray | None = None
        fields: list[_Field] = []
        argument: int | bytearray = 0
        if isinstance(call.argument, syntax.Block):
            data, fields = self._encode(step, call.argument.tokens)
            argument = block = data
        elif call.argument is not None:
            argument = self._number(step, call.argument)
        bound = [(bind.name, self._bound(step, bind, fields)) for bind in call.binds]

        reason = ""
        try:
            value = self._process.ioctl(fd, request, argument)
        except OSError as error:
            refusal = _raised(error)
            result, reason = refusal.result, refusal.reason
        else:
            result = str(value) if call.result is None else "ok"
            if call.result is not None:
                self._set(call.result, value)
            if block is not None:
                for name, field in bound:
                    data = block[field.offset : field.offset + field.size]
                    field.value = int.from_bytes(data, "little")
                    field.text = name
                    self._set(name, field.value)
        return Outcome(result, None if block is None else _decode(block, fields), reason)

    def _bound(self, step: Step, bind: syntax.Bind, fields: list[_Field]) -> _Field:
        offset = self._number(step, bind.offset)
        for field in fields:
            if field.offset == offset and field.token.type in syntax.WIDTHS:
                return field
        starts = ", ".join(str(f.offset) for f in fields if f.token.type in syntax.WIDTHS)
        raise step.error(f"'bind {bind.name} {offset}'", f"the offset of a number: {starts}")

    def _start_guest(self, step: Step, call: syntax.Guest) -> Outcome:
        start = self._guest_maker()
        if start is None:
            return _NO_GUESTS
        ram = self._names.get(call.buffer)
        if ram is None or ram.size is None:
            return Outcome(None, reason=f"'{call.buffer}' is not a buffer, so no guest's memory")
        for vector in range(0x100, 0x1000, 0x100):
            self._process.poke(ram.value + vector, _GUEST_HANG)
        self._process.poke(ram.value + 0x1000, _GUEST_CODE)
        kvm, vm = _int(self._number(step, call.kvm)), _int(self._number(step, call.vm))
        self._guest = start(kvm, vm, ram.value, ram.size)
        return _OK

    def _guest_maker(self) -> Callable[[int, int, int, int], Guest] | None:
        return getattr(self._process, "guest", None)

    def _hcall(self, step: Step, call: syntax.Hcall) -> Outcome:
        number = self._number(step, call.number)
        given = [self._number(step, argument) for argument in call.arguments]
        a, b, c, d, e = (given + [0] * 5)[:5]
        if self._guest is None:
            if self._guest_maker() is None:
                return _NO_GUESTS
            return Outcome("-EBADF", reason="no guest is there to make the hypercall")
        registers = self._guest.hcall(number, (a, b, c, d, e))
        if registers is None:
            return Outcome("exit")
        r3, r4 = registers
        r3 = _signed(r3, 64)
        return Outcome(f"0 {r4:#x}" if number == papr.H_GET_TCE and r3 == 0 else str(r3))


def _read(data: bytes) -> Outcome:
    return Outcome(str(len(data)), _bytes_read(data) if data else None)


def _raised(error: Exception) -> Outcome:
    """What an exception of the process means: a signal, a refusal, or a fault of the emulator."""
    # A memory fault is known by its attribute, so that nothing here needs the core.
    signal: object = getattr(error, "signal", None)
    if signal in ("SIGSEGV", "SIGBUS"):
        return Outcome(str(signal), reason=str(error))
    if isinstance(error, OSError) and error.errno is not None:
        name = _ERROR_NAMES.get(error.errno, f"E{error.errno}")
        return Outcome(f"-{name}", reason=error.strerror or "")
    return Outcome(None, reason=f"the emulator raised {type(error).__name__}: {error}")


# -- whole files -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Difference:
    """A call that this emulator answers otherwise than the kernel did.

    `call` is the call's line; `got` is empty where the emulator has no answer; `reason` is what the
    emulator says of its refusal, empty where it refused nothing.
    """

    file: str
    line: int
    call: str
    recorded: tuple[str, ...]
    got: tuple[str, ...]
    reason: str

    def fields(self) -> list[tuple[int, str, str]]:
        """The fields of the block that differ: (index from 0, recorded, got)."""
        pairs = zip(_split(self.recorded), _split(self.got), strict=False)
        return [(n, was, now) for n, (was, now) in enumerate(pairs) if was != now]


def _split(lines: tuple[str, ...]) -> list[str]:
    return lines[1].removeprefix("  > ").split(" ") if len(lines) > 1 else []


@dataclass(frozen=True, slots=True)
class FileResult:
    """One file played. An answer is one call together with all its recorded lines."""

    file: str
    answers: int
    differences: tuple[Difference, ...]
    seconds: float


def replay(
    transcript: Transcript | str | Path,
    system_factory: Callable[[], System],
    symbols: Symbols,
) -> FileResult:
    """Plays a transcript, parsed or a file, on a fresh system from `system_factory`.

    Raises TranscriptError for a file that cannot be read, an unknown constant, or a `bind` that
    names no field.
    """
    if not isinstance(transcript, Transcript):
        transcript = syntax.parse_file(transcript)
    check_constants(transcript, symbols)
    begin = time.perf_counter()
    differences = []
    with system_factory() as system:
        player = Player(system.process(), symbols)
        for step in transcript.steps:
            outcome = player.perform(step)
            if outcome.lines != step.answer.lines:
                differences.append(
                    Difference(
                        step.file,
                        step.line,
                        step.text,
                        step.answer.lines,
                        outcome.lines,
                        outcome.reason,
                    )
                )
    seconds = time.perf_counter() - begin
    return FileResult(transcript.file, len(transcript.steps), tuple(differences), seconds)
