# SPDX-License-Identifier: MIT
"""Performs the calls of a transcript on a process, and compares the answers with the record.

`Player` turns one call into calls of the process and writes the answer as the recorder would have
written it; `replay` plays a whole file on a fresh system and reports what differs, and why.

Neither knows a concrete system: they take whatever has the methods of `Process` and `System`.
"""

from __future__ import annotations

import contextlib
import difflib
import functools
import time
from collections.abc import Callable, Generator, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Protocol, assert_never, cast

from kvmiommu import uapi
from kvmiommu.uapi import papr, posix

from . import syntax
from .errnos import name_of
from .errors import Place
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
    "buffer_alignment",
    "check_constants",
    "play",
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
    for name, place in transcript.constants.items():
        try:
            symbols(name)
        except LookupError:
            raise _unknown_constant(transcript.file, place, name) from None


def _unknown_constant(file: str, place: Place, name: str) -> TranscriptError:
    near = difflib.get_close_matches(name, uapi.constants(), n=1)
    meant = f" (did you mean '{near[0]}'?)" if near else ""
    return TranscriptError(
        file,
        place.line,
        f"the unknown constant '{name}'",
        f"a constant of the kernel's user headers{meant}",
        column=place.column,
    )


# -- what the format itself fixes ------------------------------------------------------------------

_RLIMIT_MEMLOCK = 8
_EFD_NONBLOCK = 0o4000
_BUFFER_ALIGNMENT = 2 << 20
_WORD = 0xFFFF_FFFF_FFFF_FFFF
_LONGEST_BLOCK = 65536 - 4096  # bytes; what the recorder has room for

#: The guest's code, little-endian: `sc 1; mr r5,r4; mr r4,r3; li r3,0x7ffc; sc 1; b .`
_GUEST_CODE = b"".join(
    word.to_bytes(4, "little")
    for word in (0x44000022, 0x7C852378, 0x7C641B78, 0x38607FFC, 0x44000022, 0x48000000)
)
_GUEST_HANG = 0x48000000.to_bytes(4, "little")


def buffer_alignment(arch: str, page_size: int) -> int:
    """What the buffers of a transcript are aligned to, in bytes, on a machine of that kind.

    Everywhere 2 MiB, on arm64 a transparent huge page: a table full of pages.
    """
    return page_size * (page_size // 8) if arch == "aarch64" else _BUFFER_ALIGNMENT


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


# -- the player ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a call returned: the result, the block afterwards, and why a refusal refused.

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
_NO_SEALS = Outcome(None, reason="no file of this emulator has seals")
_NO_FORK = Outcome(None, reason="no process of this emulator forks")


class Player:
    """Performs calls on one process. Names live as long as the player.

    A name that was never given, or whose descriptor was closed, is -1; so is one whose `eventfd`,
    `memfd` or `dup` failed. Every other call that fails leaves its name on what it had.
    """

    def __init__(
        self, process: Process, symbols: Symbols, *, alignment: int = _BUFFER_ALIGNMENT
    ) -> None:
        self._process = process
        self._symbols = symbols
        self._alignment = alignment
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
                return Outcome("ok", self._shown(step, data, call.shape))
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
                return self._descriptor(call.name, lambda: self._memfd(step, call))
            case syntax.Truncate():
                process.ftruncate(_int(number(call.fd)), _off_t(number(call.size)))
                return Outcome("0")
            case syntax.Seal():
                return _NO_SEALS
            case syntax.Child():
                return _NO_FORK
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
                data = process.read(_int(number(call.fd)), number(call.length))
                return Outcome(str(len(data)), self._shown(step, data, call.shape))
            case syntax.Pread():
                fd, offset = _int(number(call.fd)), _off_t(number(call.offset))
                data = process.pread(fd, number(call.length), offset)
                return Outcome(str(len(data)), self._shown(step, data, None))
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
                    raise _unknown_constant(step.file, Place(step.line, 1), atom.name) from None

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

    def _memfd(self, step: Step, call: syntax.Memfd) -> int:
        flags = (posix.MFD_HUGETLB if call.huge else 0) | (
            posix.MFD_ALLOW_SEALING if call.sealable else 0
        )
        fd = self._process.memfd_create(call.name, flags)
        self._process.ftruncate(fd, _off_t(self._number(step, call.size)))
        return fd

    def _mem(self, step: Step, call: syntax.Mem) -> Outcome:
        size = self._number(step, call.size)
        flags = posix.MAP_ANONYMOUS | (posix.MAP_SHARED if call.shared else posix.MAP_PRIVATE)
        if call.huge:
            flags |= posix.MAP_HUGETLB
        prot = posix.PROT_READ if call.readonly else posix.PROT_READ | posix.PROT_WRITE
        address = self._process.mmap(size, prot, flags, -1, 0, align=self._alignment)
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
                    self._bind(name, field, block)
        return Outcome(result, None if block is None else _decode(block, fields), reason)

    def _shown(self, step: Step, data: bytes, shape: syntax.Shape | None) -> tuple[str, ...] | None:
        """What was read, in the fields of the call if it has any; None for no bytes at all."""
        if not data:
            return None
        if shape is None:
            return (f"hex:{data.hex()}" if any(data) else f"zero:{len(data)}",)
        _, fields = self._encode(step, shape.tokens)
        bound = [(bind.name, self._bound(step, bind, fields)) for bind in shape.binds]
        shown = [field for field in fields if field.offset + field.size <= len(data)]
        for name, field in bound:
            if field in shown:
                self._bind(name, field, data)
        return _decode(data, shown)

    def _bind(self, name: str, field: _Field, block: bytes | bytearray) -> None:
        """The field, as the block has it, is known and shown by this name."""
        field.value = int.from_bytes(block[field.offset : field.offset + field.size], "little")
        field.text = name
        self._set(name, field.value)

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


def _raised(error: Exception) -> Outcome:
    """What an exception of the process means: a signal, a refusal, or a fault of the emulator."""
    # A memory fault is known by its attribute, so that nothing here needs the core.
    signal: object = getattr(error, "signal", None)
    if signal in ("SIGSEGV", "SIGBUS"):
        return Outcome(str(signal), reason=str(error))
    if isinstance(error, OSError) and error.errno is not None:
        return Outcome(f"-{name_of(error.errno)}", reason=error.strerror or "")
    return Outcome(None, reason=f"the emulator raised {type(error).__name__}: {error}")


# -- whole files -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Difference:
    """A call that returns something else here than from the kernel.

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


def play(
    transcript: Transcript,
    system_factory: Callable[[], System],
    symbols: Symbols,
    *,
    alignment: int = _BUFFER_ALIGNMENT,
) -> Generator[tuple[Step, Outcome]]:
    """Plays a transcript on a fresh system, call by call: each with its outcome.

    `alignment` is that of buffers, in bytes: `buffer_alignment` of the machine.

    Raises TranscriptError for an unknown constant, or a `bind` that names no field.
    """
    check_constants(transcript, symbols)
    with system_factory() as system:
        player = Player(system.process(), symbols, alignment=alignment)
        for step in transcript.steps:
            yield step, player.perform(step)


def replay(
    transcript: Transcript | str | Path,
    system_factory: Callable[[], System],
    symbols: Symbols,
    *,
    alignment: int = _BUFFER_ALIGNMENT,
    fail_fast: bool = False,
    observe: Callable[[Step, Outcome], None] | None = None,
) -> FileResult:
    """Plays a transcript, parsed or a file, on a fresh system from `system_factory`.

    `alignment` is as for `play`. With `fail_fast` it ends at the first difference; `observe` is
    called with every call and what it returned. A call without a recorded answer has no difference.

    Raises TranscriptError for a file that cannot be read, an unknown constant, or a `bind` that
    names no field.
    """
    if not isinstance(transcript, Transcript):
        transcript = syntax.parse_file(transcript)
    begin = time.perf_counter()
    answers = 0
    differences = []
    with contextlib.closing(
        play(transcript, system_factory, symbols, alignment=alignment)
    ) as played:
        for step, outcome in played:
            answers += 1
            if observe is not None:
                observe(step, outcome)
            if step.answer.result and outcome.lines != step.answer.lines:
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
                if fail_fast:
                    break
    seconds = time.perf_counter() - begin
    return FileResult(transcript.file, answers, tuple(differences), seconds)
