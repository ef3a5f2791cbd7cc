# SPDX-License-Identifier: MIT
"""The language of transcripts (`.uapi` files): its words as data, and the parser.

A transcript is a program of system calls, one a line, each followed by what a real kernel
answered. This module knows the text alone: it makes no call and needs no compiled core.
What the words mean when they are performed stands in `kvmiommu.transcript.player`.

The parser skips nothing. A line that it does not understand is a `TranscriptError`, which says
where the line is, what was found there and what would have been right.
"""

from __future__ import annotations

import difflib
import functools
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias, cast

__all__ = [
    "Answer",
    "Answers",
    "Atom",
    "Bind",
    "Block",
    "Call",
    "Close",
    "Constant",
    "Dup",
    "Eventfd",
    "Fail",
    "Fill",
    "Guest",
    "Hcall",
    "Integer",
    "Ioctl",
    "Mem",
    "Memfd",
    "Memlock",
    "Mmap",
    "Number",
    "Open",
    "Peek",
    "Poke",
    "Poll",
    "Pread",
    "Protect",
    "Pwrite",
    "Queue",
    "Read",
    "Status",
    "Step",
    "Token",
    "TokenType",
    "Transcript",
    "TranscriptError",
    "Truncate",
    "Uid",
    "Unmem",
    "Variable",
    "Write",
    "parse",
    "parse_file",
]


class TranscriptError(Exception):
    """A transcript that cannot be read or played: where, what was found, what was expected."""

    def __init__(self, file: str, line: int, found: str, expected: str) -> None:
        self.file = file
        self.line = line
        self.found = found
        self.expected = expected
        super().__init__(f"{file}:{line}: {found}; expected {expected}")


# -- numbers ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Integer:
    """A number written out, reduced to 64 bits: `12`, `0x1f`, `-1`."""

    value: int


@dataclass(frozen=True, slots=True)
class Constant:
    """A constant of the kernel's headers: a word that begins with a capital letter."""

    name: str


@dataclass(frozen=True, slots=True)
class Variable:
    """A name that an earlier call has given: `$ioas`, or a buffer or descriptor, `buf`."""

    name: str


Atom: TypeAlias = Integer | Constant | Variable


@dataclass(frozen=True, slots=True)
class Number:
    """A number as it was written: sums, joined by `|`."""

    text: str
    sums: tuple[tuple[Atom, ...], ...]


_INTEGER = re.compile(r"-?(?:0[xX][0-9a-fA-F]+|0[0-7]*|[1-9][0-9]*)")
_WORD = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
_NAME = re.compile(r"[a-z][A-Za-z0-9_]*")
_NUMBER_HELP = "a number: 12, 0x1f, CONSTANT, $bound, buffer, A+B or A|B"


class _SyntaxError(Exception):
    """What was found and what was expected, still without the place."""

    def __init__(self, found: str, expected: str) -> None:
        self.found = found
        self.expected = expected
        super().__init__(found)


def _atom(text: str, whole: str) -> Atom:
    if _INTEGER.fullmatch(text):
        digits = text.lstrip("-")
        octal = len(digits) > 1 and digits.isdecimal() and digits[0] == "0"
        value = int(digits, 8 if octal else 0)
        if value >> (63 if text[0] == "-" and value != 1 << 63 else 64):
            raise _SyntaxError(f"the number {text} in '{whole}'", "a number of at most 64 bits")
        return Integer((-value if text[0] == "-" else value) & 0xFFFF_FFFF_FFFF_FFFF)
    if text.startswith("$") and _NAME.fullmatch(text[1:]):
        return Variable(text[1:])
    if _WORD.fullmatch(text):
        return Constant(text) if text[0].isupper() else Variable(text)
    raise _SyntaxError(f"'{text}' in '{whole}'" if text != whole else f"'{text}'", _NUMBER_HELP)


@functools.lru_cache(maxsize=65536)
def _number(text: str) -> Number:
    sums = []
    for part in text.split("|"):
        terms = part.split("+")
        if len(terms) > 2:
            raise _SyntaxError(f"'{part}'", "a sum of two numbers at most")
        sums.append(tuple(_atom(term, text) for term in terms))
    return Number(text, tuple(sums))


# -- tokens of an argument block -------------------------------------------------------------------

TokenType: TypeAlias = Literal["u8", "u16", "u32", "u64", "fd", "ptr", "str", "zero", "hex"]

#: Bytes of the types that hold one number.
WIDTHS: Mapping[str, int] = {"u8": 1, "u16": 2, "u32": 4, "fd": 4, "u64": 8, "ptr": 8}
_TOKEN_HELP = "TYPE:VALUE with TYPE one of u8, u16, u32, u64, fd, ptr, str, zero, hex"


@dataclass(frozen=True, slots=True)
class Token:
    """A field of an argument block, little-endian, without padding before it.

    `number` is the value (the length for `zero`); `data` the bytes of `str` and `hex`.
    """

    type: TokenType
    text: str
    number: Number | None = None
    data: bytes = b""

    def __str__(self) -> str:
        return f"{self.type}:{self.text}"


@functools.lru_cache(maxsize=65536)
def _token(word: str) -> Token:
    kind, colon, text = word.partition(":")
    if not colon:
        raise _SyntaxError(f"'{word}' where a field of the block should be", _TOKEN_HELP)
    if kind in WIDTHS or kind == "zero":
        return Token(cast(TokenType, kind), text, number=_number(text))
    if kind == "str":
        return Token("str", text, data=text.encode() + b"\0")
    if kind == "hex":
        if len(text) % 2 or not re.fullmatch(r"[0-9a-fA-F]*", text):
            raise _SyntaxError(f"'{word}'", "hex: and pairs of hexadecimal digits")
        return Token("hex", text, data=bytes.fromhex(text))
    raise _SyntaxError(f"the type '{kind}' in '{word}'", _TOKEN_HELP)


# -- calls -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Mem:
    """`mem NAME SIZE [shared] [ro] [huge]`: an anonymous mapping aligned to 2 MiB."""

    name: str
    size: Number
    shared: bool = False
    readonly: bool = False
    huge: bool = False


@dataclass(frozen=True, slots=True)
class Unmem:
    """`unmem ADDRESS SIZE`: munmap."""

    address: Number
    size: Number


@dataclass(frozen=True, slots=True)
class Fill:
    """`fill ADDRESS TOKEN…`: writes memory that must be there."""

    address: Number
    tokens: tuple[Token, ...]


@dataclass(frozen=True, slots=True)
class Poke:
    """`poke ADDRESS TOKEN…`: writes memory, and may end in a signal."""

    address: Number
    tokens: tuple[Token, ...]


@dataclass(frozen=True, slots=True)
class Peek:
    """`peek ADDRESS LENGTH`: reads memory, and may end in a signal."""

    address: Number
    length: Number


@dataclass(frozen=True, slots=True)
class Open:
    """`open NAME PATH FLAGS`."""

    name: str
    path: str
    flags: Number


@dataclass(frozen=True, slots=True)
class Close:
    """`close FD`: the name, when the descriptor is one, means -1 from here on."""

    fd: Number


@dataclass(frozen=True, slots=True)
class Dup:
    """`dup NAME FD`."""

    name: str
    fd: Number


@dataclass(frozen=True, slots=True)
class Eventfd:
    """`eventfd NAME`: at zero, non-blocking."""

    name: str


@dataclass(frozen=True, slots=True)
class Memfd:
    """`memfd NAME SIZE`."""

    name: str
    size: Number


@dataclass(frozen=True, slots=True)
class Truncate:
    """`truncate FD SIZE`: ftruncate()."""

    fd: Number
    size: Number


@dataclass(frozen=True, slots=True)
class Protect:
    """`protect ADDRESS SIZE PROT`: mprotect(). In no recorded transcript."""

    address: Number
    size: Number
    prot: Number


@dataclass(frozen=True, slots=True)
class Fail:
    """`fail N`: the Nth allocation from here fails. In no recorded transcript."""

    nth: Number


@dataclass(frozen=True, slots=True)
class Block:
    """An ioctl's argument in memory, as fields."""

    tokens: tuple[Token, ...]


@dataclass(frozen=True, slots=True)
class Bind:
    """`bind NAME OFFSET`: names the field that stands at that offset after a successful call."""

    name: str
    offset: Number


@dataclass(frozen=True, slots=True)
class Ioctl:
    """`ioctl FD REQUEST [null | val:N | TOKEN…] [-> NAME] [bind NAME OFFSET]…`.

    `argument` is None for `null` and for nothing, a Number for `val:`.
    """

    fd: Number
    request: Number
    argument: Block | Number | None = None
    result: str | None = None
    binds: tuple[Bind, ...] = ()


@dataclass(frozen=True, slots=True)
class Mmap:
    """`mmap NAME FD LENGTH PROT FLAGS OFFSET`."""

    name: str
    fd: Number
    length: Number
    prot: Number
    flags: Number
    offset: Number


@dataclass(frozen=True, slots=True)
class Read:
    """`read FD LENGTH`."""

    fd: Number
    length: Number


@dataclass(frozen=True, slots=True)
class Pread:
    """`pread FD LENGTH OFFSET`."""

    fd: Number
    length: Number
    offset: Number


@dataclass(frozen=True, slots=True)
class Write:
    """`write FD TOKEN…`."""

    fd: Number
    tokens: tuple[Token, ...]


@dataclass(frozen=True, slots=True)
class Pwrite:
    """`pwrite FD OFFSET TOKEN…`."""

    fd: Number
    offset: Number
    tokens: tuple[Token, ...]


@dataclass(frozen=True, slots=True)
class Poll:
    """`poll FD EVENTS`: does not wait."""

    fd: Number
    events: Number


@dataclass(frozen=True, slots=True)
class Memlock:
    """`memlock BYTES`: RLIMIT_MEMLOCK, soft and hard."""

    limit: Number


@dataclass(frozen=True, slots=True)
class Uid:
    """`uid N`: all three user ids; capabilities go with them."""

    uid: Number


@dataclass(frozen=True, slots=True)
class Status:
    """`status VmLck`: that line of /proc/self/status, in kB."""

    key: str


@dataclass(frozen=True, slots=True)
class Guest:
    """`guest KVM VM BUFFER`: the buffer becomes the memory of a POWER guest of one vcpu."""

    kvm: Number
    vm: Number
    buffer: str


@dataclass(frozen=True, slots=True)
class Hcall:
    """`hcall NUMBER ARGUMENT…`: the guest makes a hypercall, of at most five arguments."""

    number: Number
    arguments: tuple[Number, ...]


@dataclass(frozen=True, slots=True)
class Queue:
    """`queue VCPU NUMBER ARGUMENT…`: the guest makes this hypercall next. In no recorded transcript
    of a kernel."""

    vcpu: Number
    number: Number
    arguments: tuple[Number, ...]


@dataclass(frozen=True, slots=True)
class Answers:
    """`answers VCPU`: number, r3 and r4 of the hypercalls that came back to the guest since this
    was asked last. In no recorded transcript of a kernel."""

    vcpu: Number


Call: TypeAlias = (
    Mem
    | Unmem
    | Fill
    | Poke
    | Peek
    | Open
    | Close
    | Dup
    | Eventfd
    | Memfd
    | Truncate
    | Protect
    | Fail
    | Ioctl
    | Mmap
    | Read
    | Pread
    | Write
    | Pwrite
    | Poll
    | Memlock
    | Uid
    | Status
    | Guest
    | Hcall
    | Queue
    | Answers
)


@dataclass(frozen=True, slots=True)
class Answer:
    """What the kernel answered to one call: the result, and the block as it stood afterwards."""

    line: int
    result: str
    fields: tuple[str, ...] | None = None

    @property
    def lines(self) -> tuple[str, ...]:
        """The answer as the transcript writes it, a line each, without line ends."""
        result = f"  = {self.result}"
        return (result,) if self.fields is None else (result, "  > " + " ".join(self.fields))


@dataclass(frozen=True, slots=True)
class Step:
    """One call of a transcript and its recorded answer; `text` is the call's line."""

    file: str
    line: int
    text: str
    call: Call
    answer: Answer

    def error(self, found: str, expected: str) -> TranscriptError:
        """An error at this call."""
        return TranscriptError(self.file, self.line, found, expected)


@dataclass(frozen=True, slots=True)
class Transcript:
    """A parsed file. `constants`: each constant it uses, with the line that uses it first."""

    file: str
    title: str
    steps: tuple[Step, ...]
    constants: Mapping[str, int]


# -- the parser ------------------------------------------------------------------------------------


class _Words:
    """The words of one call, taken one after another; `usage` is the call's shape."""

    def __init__(self, words: list[str], usage: str, constants: list[str]) -> None:
        self._words = words
        self._at = 1
        self._usage = usage
        self._constants = constants

    def left(self) -> int:
        return len(self._words) - self._at

    def next(self) -> str | None:
        """The next word, not yet taken."""
        return self._words[self._at] if self.left() else None

    def bad(self, found: str) -> _SyntaxError:
        return _SyntaxError(found, f"'{self._usage}'")

    def word(self, what: str) -> str:
        if not self.left():
            raise self.bad(f"'{' '.join(self._words)}' ends where {what} should be")
        self._at += 1
        return self._words[self._at - 1]

    def number(self, what: str) -> Number:
        return self._note(_number(self.word(what)))

    def name(self) -> str:
        word = self.word("NAME")
        if not _NAME.fullmatch(word):
            raise _SyntaxError(
                f"'{word}' as a name",
                "a lower-case letter first (capitals are constants), then letters, digits and _",
            )
        return word

    def tokens(self, *stop: str) -> tuple[Token, ...]:
        """Tokens until a word of `stop` or the end; at least one."""
        tokens: list[Token] = []
        while not tokens or (self.left() and self.next() not in stop):
            token = _token(self.word("TOKEN"))
            if token.number is not None:
                self._note(token.number)
            tokens.append(token)
        return tuple(tokens)

    def value(self, text: str) -> Number:
        return self._note(_number(text))

    def _note(self, number: Number) -> Number:
        for terms in number.sums:
            for atom in terms:
                if isinstance(atom, Constant):
                    self._constants.append(atom.name)
        return number


def _mem(words: _Words) -> Mem:
    name, size = words.name(), words.number("SIZE")
    said = set()
    while words.left():
        word = words.word("")
        if word not in ("shared", "ro", "huge"):
            raise words.bad(f"'{word}' after the size")
        said.add(word)
    return Mem(name, size, "shared" in said, "ro" in said, "huge" in said)


def _ioctl(words: _Words) -> Ioctl:
    fd, request = words.number("FD"), words.number("REQUEST")
    argument: Block | Number | None = None
    first = words.next()
    if first == "null":
        words.word("null")
    elif first is not None and first.startswith("val:"):
        argument = words.value(words.word("val:N")[4:])
    elif first not in (None, "->", "bind"):
        argument = Block(words.tokens("->", "bind"))
    result: str | None = None
    binds = []
    while words.left():
        word = words.word("-> or bind")
        if word == "->" and result is None:
            result = words.name()
        elif word == "bind" and isinstance(argument, Block):
            binds.append(Bind(words.name(), words.number("OFFSET")))
        elif word == "bind":
            raise words.bad("'bind' for a call without an argument block")
        else:
            raise words.bad(f"'{word}' after the argument" if word != "->" else "a second '->'")
    return Ioctl(fd, request, argument, result, tuple(binds))


def _status(words: _Words) -> Status:
    key = words.word("KEY")
    if key not in ("VmLck", "VmPin"):
        raise words.bad(f"'{key}' as a line of /proc/self/status")
    return Status(key)


def _hcall(words: _Words) -> Hcall:
    number = words.number("NUMBER")
    arguments: list[Number] = []
    while words.left():
        if len(arguments) == 5:
            raise words.bad("a sixth argument")
        arguments.append(words.number("ARGUMENT"))
    return Hcall(number, tuple(arguments))


def _queue(words: _Words) -> Queue:
    vcpu, number = words.number("VCPU"), words.number("NUMBER")
    arguments: list[Number] = []
    while words.left():
        if len(arguments) == 9:
            raise words.bad("a tenth argument")
        arguments.append(words.number("ARGUMENT"))
    return Queue(vcpu, number, tuple(arguments))


#: Each call: its shape, as errors show it, and the function that takes its words.
_CALLS: Mapping[str, tuple[str, Callable[[_Words], Call]]] = {
    "mem": ("mem NAME SIZE [shared] [ro] [huge]", _mem),
    "unmem": ("unmem ADDRESS SIZE", lambda w: Unmem(w.number("ADDRESS"), w.number("SIZE"))),
    "fill": ("fill ADDRESS TOKEN…", lambda w: Fill(w.number("ADDRESS"), w.tokens())),
    "poke": ("poke ADDRESS TOKEN…", lambda w: Poke(w.number("ADDRESS"), w.tokens())),
    "peek": ("peek ADDRESS LENGTH", lambda w: Peek(w.number("ADDRESS"), w.number("LENGTH"))),
    "open": (
        "open NAME PATH FLAGS",
        lambda w: Open(w.name(), w.word("PATH"), w.number("FLAGS")),
    ),
    "close": ("close NAME", lambda w: Close(w.number("NAME"))),
    "dup": ("dup NAME FD", lambda w: Dup(w.name(), w.number("FD"))),
    "eventfd": ("eventfd NAME", lambda w: Eventfd(w.name())),
    "truncate": ("truncate FD SIZE", lambda w: Truncate(w.number("FD"), w.number("SIZE"))),
    "protect": (
        "protect ADDRESS SIZE PROT",
        lambda w: Protect(w.number("ADDRESS"), w.number("SIZE"), w.number("PROT")),
    ),
    "fail": ("fail N", lambda w: Fail(w.number("N"))),
    "memfd": ("memfd NAME SIZE", lambda w: Memfd(w.name(), w.number("SIZE"))),
    "ioctl": ("ioctl FD REQUEST [null | val:N | TOKEN…] [-> NAME] [bind NAME OFFSET]…", _ioctl),
    "mmap": (
        "mmap NAME FD LENGTH PROT FLAGS OFFSET",
        lambda w: Mmap(
            w.name(),
            w.number("FD"),
            w.number("LENGTH"),
            w.number("PROT"),
            w.number("FLAGS"),
            w.number("OFFSET"),
        ),
    ),
    "read": ("read FD LENGTH", lambda w: Read(w.number("FD"), w.number("LENGTH"))),
    "pread": (
        "pread FD LENGTH OFFSET",
        lambda w: Pread(w.number("FD"), w.number("LENGTH"), w.number("OFFSET")),
    ),
    "write": ("write FD TOKEN…", lambda w: Write(w.number("FD"), w.tokens())),
    "pwrite": (
        "pwrite FD OFFSET TOKEN…",
        lambda w: Pwrite(w.number("FD"), w.number("OFFSET"), w.tokens()),
    ),
    "poll": ("poll FD EVENTS", lambda w: Poll(w.number("FD"), w.number("EVENTS"))),
    "memlock": ("memlock BYTES", lambda w: Memlock(w.number("BYTES"))),
    "uid": ("uid N", lambda w: Uid(w.number("N"))),
    "status": ("status VmLck|VmPin", _status),
    "guest": (
        "guest KVM VM BUFFER",
        lambda w: Guest(w.number("KVM"), w.number("VM"), w.name()),
    ),
    "queue": ("queue VCPU NUMBER ARGUMENT… (at most nine)", _queue),
    "answers": ("answers VCPU", lambda w: Answers(w.number("VCPU"))),
    "hcall": ("hcall NUMBER ARGUMENT… (at most five)", _hcall),
}


def _call(words: list[str], constants: list[str]) -> Call:
    entry = _CALLS.get(words[0])
    if entry is None:
        near = difflib.get_close_matches(words[0], _CALLS, n=1)
        raise _SyntaxError(
            f"the unknown call '{words[0]}'",
            f"'{near[0]}'?" if near else f"one of {', '.join(sorted(_CALLS))}",
        )
    usage, build = entry
    taken = _Words(words, usage, constants)
    call = build(taken)
    extra = taken.next()
    if extra is not None:
        raise taken.bad(f"'{extra}' after the end of the call")
    return call


_RESULT = re.compile(
    r"-?[0-9]+(?: 0x[0-9a-f]+)?|ok|exit|SIGSEGV|SIGBUS|-E[A-Z0-9]+|exit_reason [0-9]+"
)
_FIELD = re.compile(r"(?:u8|u16|u32|u64):\S+|(?:fd|ptr):\S+|hex:(?:[0-9a-f]{2})*|zero:[0-9]+")
_RESULT_HELP = "'  = ' and a number, -ENAME, ok, exit, SIGSEGV or SIGBUS"


def _result(line: str) -> str:
    result = line.removeprefix("  = ")
    if not _RESULT.fullmatch(result):
        raise _SyntaxError(f"the result '{result}'", _RESULT_HELP)
    return result


def _fields(line: str) -> tuple[str, ...]:
    fields = tuple(line.removeprefix("  > ").split(" "))
    for field in fields:
        if not _FIELD.fullmatch(field):
            raise _SyntaxError(
                f"'{field}' in an answer",
                "TYPE:VALUE with TYPE one of u8, u16, u32, u64, fd, ptr, zero, hex",
            )
    return fields


class _Parser:
    """Reads one file, line by line; a call waits for its answer until the next call."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.title = ""
        self.steps: list[Step] = []
        self.constants: dict[str, int] = {}
        self._call: tuple[int, str, Call] | None = None
        self._answer: Answer | None = None

    def line(self, number: int, line: str) -> None:
        try:
            self._line(number, line)
        except _SyntaxError as bad:
            raise TranscriptError(self.file, number, bad.found, bad.expected) from None

    def _line(self, number: int, line: str) -> None:
        if line.startswith("  = "):
            if self._call is None or self._answer is not None:
                raise _SyntaxError("an answer", "the call it belongs to in the line before")
            self._answer = Answer(number, _result(line))
            return
        if line.startswith("  > "):
            if self._answer is None or self._answer.fields is not None:
                raise _SyntaxError("a block after the call", "a line '  = RESULT' before it")
            self._answer = Answer(self._answer.line, self._answer.result, _fields(line))
            return
        self.finish()
        words = []
        for word in line.split():
            if word.startswith("#"):
                break
            words.append(word)
        if not words:
            if line.startswith("# title:") and not self.title:
                self.title = line.removeprefix("# title:").strip()
            return
        if words[0][0] in "=>":
            raise _SyntaxError(f"'{line}'", "an answer to begin with two spaces, '  = ' or '  > '")
        constants: list[str] = []
        self._call = (number, line.strip(), _call(words, constants))
        for name in constants:
            self.constants.setdefault(name, number)

    def finish(self) -> None:
        """The call that waits has all its answers."""
        if self._call is None:
            return
        line, text, call = self._call
        if self._answer is None:
            raise TranscriptError(
                self.file, line, f"the call '{text}' without an answer", _RESULT_HELP
            )
        self.steps.append(Step(self.file, line, text, call, self._answer))
        self._call = self._answer = None


def parse(text: str, file: str = "<text>") -> Transcript:
    """The transcript in `text`; `file` is the name that errors show. Raises TranscriptError."""
    parser = _Parser(file)
    for number, line in enumerate(text.split("\n"), 1):
        parser.line(number, line.removesuffix("\r"))
    parser.finish()
    return Transcript(file, parser.title, tuple(parser.steps), parser.constants)


def parse_file(path: str | Path) -> Transcript:
    """The transcript in a file. Raises TranscriptError, and OSError when it cannot be read."""
    data = Path(path).read_bytes()
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise TranscriptError(
            str(path), line, f"the byte 0x{data[error.start]:02x}", "text in UTF-8"
        ) from None
    return parse(text, str(path))
