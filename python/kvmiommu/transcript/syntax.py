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
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from .answers import fields_of, result_of
from .calls import (
    NAME,
    WIDTHS,
    Answers,
    Atom,
    Bind,
    Block,
    Call,
    Child,
    Close,
    Constant,
    Dup,
    Eventfd,
    Fail,
    Fill,
    Guest,
    Hcall,
    Integer,
    Ioctl,
    Mem,
    Memfd,
    Memlock,
    Mmap,
    Number,
    Open,
    Peek,
    Poke,
    Poll,
    Pread,
    Protect,
    Pwrite,
    Queue,
    Read,
    Seal,
    Shape,
    Status,
    Token,
    TokenType,
    Truncate,
    Uid,
    Unmem,
    Variable,
    Write,
    number_of,
    token_of,
)
from .errors import Place, SyntaxMistake, TranscriptError

__all__ = [
    "WIDTHS",
    "Answer",
    "Answers",
    "Atom",
    "Bind",
    "Block",
    "Call",
    "Child",
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
    "Place",
    "Poke",
    "Poll",
    "Pread",
    "Protect",
    "Pwrite",
    "Queue",
    "Read",
    "Seal",
    "Shape",
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
    "parse_bytes",
    "parse_file",
]


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
        if self.fields is None:
            return (result,)
        return (result, " ".join(("  >", *self.fields)))


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
        column = len(self.text) - len(self.text.lstrip()) + 1
        return TranscriptError(self.file, self.line, found, expected, column=column)


@dataclass(frozen=True, slots=True)
class Transcript:
    """A parsed file.

    `constants` are those that it uses, `undefined` the names that nothing in it defines and that
    stand for -1; each with the place that uses it first.
    """

    file: str
    title: str
    steps: tuple[Step, ...]
    constants: Mapping[str, Place]
    undefined: Mapping[str, Place]

    def defined(self) -> frozenset[str]:
        """The names that calls of the file define."""
        return frozenset(name for step in self.steps for name in _defined(step.call))


def _defined(call: Call) -> Iterator[str]:
    match call:
        case Mem(name) | Open(name) | Dup(name) | Eventfd(name) | Memfd(name) | Mmap(name):
            yield name
        case Ioctl(result=result, binds=binds):
            if result is not None:
                yield result
            yield from (bind.name for bind in binds)
        case Read(shape=Shape(binds=binds)) | Peek(shape=Shape(binds=binds)):
            yield from (bind.name for bind in binds)


# -- the parser ------------------------------------------------------------------------------------


class _Words:
    """The words of one call, taken one after another; `usage` is the call's shape.

    `columns` are those of the words and of the end of the line. What the numbers of the call name
    is added to `used`: constants and variables with their columns.
    """

    def __init__(
        self, words: list[str], columns: list[int], usage: str, used: list[tuple[Atom, int]]
    ) -> None:
        self._words = words
        self._columns = columns
        self._at = 1
        self._usage = usage
        self._used = used

    @property
    def column(self) -> int:
        """The column of the word that was taken last."""
        return self._columns[self._at - 1]

    def left(self) -> int:
        return len(self._words) - self._at

    def next(self) -> str | None:
        """The next word, not yet taken."""
        return self._words[self._at] if self.left() else None

    def bad(self, found: str, column: int | None = None) -> SyntaxMistake:
        return SyntaxMistake(found, f"'{self._usage}'", column or self.column)

    def bad_next(self, found: str) -> SyntaxMistake:
        """A mistake where the next word is, or the line's end."""
        return self.bad(found, self._columns[self._at])

    def word(self, what: str) -> str:
        if not self.left():
            raise self.bad_next(f"'{' '.join(self._words)}' ends where {what} should be")
        self._at += 1
        return self._words[self._at - 1]

    def number(self, what: str) -> Number:
        return self._note(number_of(self.word(what)))

    def name(self) -> str:
        word = self.word("NAME")
        if not NAME.fullmatch(word):
            raise SyntaxMistake(
                f"'{word}' as a name",
                "a lower-case letter first (capitals are constants), then letters, digits and _",
            )
        return word

    def tokens(self, *stop: str) -> tuple[Token, ...]:
        """Tokens until a word of `stop` or the end; at least one."""
        tokens: list[Token] = []
        while not tokens or (self.left() and self.next() not in stop):
            token = token_of(self.word("TOKEN"))
            if token.number is not None:
                self._note(token.number)
            tokens.append(token)
        return tuple(tokens)

    def value(self, text: str) -> Number:
        return self._note(number_of(text))

    def bind(self) -> Bind:
        """What stands behind the word `bind`."""
        return Bind(self.name(), self.number("OFFSET"))

    def shape(self) -> Shape | None:
        """The fields of bytes that were read, where they are given."""
        if not self.left():
            return None
        tokens = self.tokens("bind")
        binds = []
        while self.left():
            if (word := self.word("bind")) != "bind":
                raise self.bad(f"'{word}' where 'bind' should be")
            binds.append(self.bind())
        return Shape(tokens, tuple(binds))

    def flags(self, *known: str) -> set[str]:
        """The words that are left, each one of `known`."""
        said = set()
        while self.left():
            word = self.word("")
            if word not in known:
                raise self.bad(f"'{word}' after the size")
            said.add(word)
        return said

    def call(self) -> Call:
        """The words that are left, as a call of their own."""
        self.word("CALL")
        first = self._at - 1
        self._at = len(self._words)
        return _call(self._words[first:], self._columns[first:], self._used)

    def buffer(self) -> str:
        """The name of a buffer that an earlier call has defined."""
        name = self.name()
        self._used.append((Variable(name), self.column))
        return name

    def _note(self, number: Number) -> Number:
        self._used += [
            (atom, self.column)
            for terms in number.sums
            for atom in terms
            if not isinstance(atom, Integer)
        ]
        return number


def _mem(words: _Words) -> Mem:
    name, size = words.name(), words.number("SIZE")
    said = words.flags("shared", "ro", "huge")
    return Mem(name, size, "shared" in said, "ro" in said, "huge" in said)


def _memfd(words: _Words) -> Memfd:
    name, size = words.name(), words.number("SIZE")
    said = words.flags("huge", "sealable")
    return Memfd(name, size, "huge" in said, "sealable" in said)


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
            binds.append(words.bind())
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
    "peek": (
        "peek ADDRESS LENGTH [TOKEN… [bind NAME OFFSET]…]",
        lambda w: Peek(w.number("ADDRESS"), w.number("LENGTH"), w.shape()),
    ),
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
    "memfd": ("memfd NAME SIZE [huge] [sealable]", _memfd),
    "seal": ("seal FD SEALS", lambda w: Seal(w.number("FD"), w.number("SEALS"))),
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
    "read": (
        "read FD LENGTH [TOKEN… [bind NAME OFFSET]…]",
        lambda w: Read(w.number("FD"), w.number("LENGTH"), w.shape()),
    ),
    "pread": (
        "pread FD LENGTH OFFSET",
        lambda w: Pread(w.number("FD"), w.number("LENGTH"), w.number("OFFSET")),
    ),
    "write": (
        "write FD [TOKEN…]",
        lambda w: Write(w.number("FD"), w.tokens() if w.left() else ()),
    ),
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
        lambda w: Guest(w.number("KVM"), w.number("VM"), w.buffer()),
    ),
    "queue": ("queue VCPU NUMBER ARGUMENT… (at most nine)", _queue),
    "answers": ("answers VCPU", lambda w: Answers(w.number("VCPU"))),
    "hcall": ("hcall NUMBER ARGUMENT… (at most five)", _hcall),
    "child": ("child CALL…", lambda w: Child(w.call())),
}


def _call(words: list[str], columns: list[int], used: list[tuple[Atom, int]]) -> Call:
    entry = _CALLS.get(words[0])
    if entry is None:
        near = difflib.get_close_matches(words[0], _CALLS, n=1)
        raise SyntaxMistake(
            f"the unknown call '{words[0]}'",
            f"'{near[0]}'?" if near else f"one of {', '.join(sorted(_CALLS))}",
            columns[0],
        )
    usage, build = entry
    taken = _Words(words, columns, usage, used)
    try:
        call = build(taken)
    except SyntaxMistake as mistake:
        if mistake.column is None:
            mistake.column = taken.column
        raise
    extra = taken.next()
    if extra is not None:
        raise taken.bad_next(f"'{extra}' after the end of the call")
    return call


_WORD = re.compile(r"\S+")
_NO_CALL = "a call, such as 'open c /dev/vfio/vfio O_RDWR'"


class _Parser:
    """Reads one file, line by line; a call waits for its answer until the next call."""

    def __init__(self, file: str, *, answers: bool) -> None:
        self.file = file
        self.title = ""
        self.steps: list[Step] = []
        self.constants: dict[str, Place] = {}
        self._answers = answers
        self._variables: dict[str, Place] = {}
        self._call: tuple[int, str, Call] | None = None
        self._answer: Answer | None = None

    def line(self, number: int, line: str) -> None:
        try:
            self._line(number, line)
        except SyntaxMistake as bad:
            raise TranscriptError(
                self.file, number, bad.found, bad.expected, column=bad.column or 1
            ) from None

    def _line(self, number: int, line: str) -> None:
        if line.startswith("  = "):
            if self._call is None or self._answer is not None:
                raise SyntaxMistake("an answer", "the call it belongs to in the line before")
            self._answer = Answer(number, result_of(line))
            return
        if line.startswith("  > ") or line == "  >":
            if self._answer is None or self._answer.fields is not None:
                raise SyntaxMistake("a block after the call", "a line '  = RESULT' before it")
            self._answer = Answer(self._answer.line, self._answer.result, fields_of(line))
            return
        self._finish()
        words, columns = [], []
        for match in _WORD.finditer(line):
            columns.append(match.start() + 1)
            if match[0].startswith("#"):
                break
            words.append(match[0])
        if not words:
            if line.startswith("# title:") and not self.title:
                self.title = line.removeprefix("# title:").strip()
            return
        if len(columns) == len(words):
            columns.append(len(line.rstrip()) + 1)
        if words[0][0] in "=>":
            raise SyntaxMistake(
                f"'{line}'", "an answer to begin with two spaces, '  = ' or '  > '", columns[0]
            )
        used: list[tuple[Atom, int]] = []
        self._call = (number, line.strip(), _call(words, columns, used))
        for atom, column in used:
            if isinstance(atom, Constant):
                self.constants.setdefault(atom.name, Place(number, column))
            elif isinstance(atom, Variable):
                self._variables.setdefault(atom.name, Place(number, column))

    def _finish(self) -> None:
        """The call that waits has all its answers."""
        if self._call is None:
            return
        line, text, call = self._call
        answer = self._answer
        if answer is None and self._answers:
            raise TranscriptError(
                self.file,
                line,
                f"the call '{text}' without an answer",
                "'  = ' and a number, -ENAME, ok, exit, SIGSEGV or SIGBUS in the next line",
            )
        self.steps.append(Step(self.file, line, text, call, answer or Answer(line, "")))
        self._call = self._answer = None

    def finish(self) -> Transcript:
        """The file has ended."""
        self._finish()
        if not self.steps:
            raise TranscriptError(self.file, 1, "no call", _NO_CALL)
        transcript = Transcript(
            self.file, self.title, tuple(self.steps), self.constants, self._variables
        )
        defined = transcript.defined()
        for name in defined & self._variables.keys():
            del self._variables[name]
        return transcript


def parse(text: str, file: str = "<text>", *, answers: bool = True) -> Transcript:
    """The transcript in `text`; `file` is the name that errors show. Raises TranscriptError.

    Without `answers` a call needs none: its `Answer` has the result "".
    """
    parser = _Parser(file, answers=answers)
    for number, line in enumerate(text.split("\n"), 1):
        parser.line(number, line.removesuffix("\r"))
    return parser.finish()


def parse_file(path: str | Path, *, answers: bool = True) -> Transcript:
    """The transcript in a file. Raises TranscriptError, and OSError when it cannot be read."""
    return parse_bytes(Path(path).read_bytes(), str(path), answers=answers)


def parse_bytes(data: bytes, file: str, *, answers: bool = True) -> Transcript:
    """The transcript in the bytes of a file, as `parse` does."""
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        line_start = data.rfind(b"\n", 0, error.start) + 1
        raise TranscriptError(
            file,
            data.count(b"\n", 0, error.start) + 1,
            f"the byte 0x{data[error.start]:02x}",
            "text in UTF-8",
            column=len(data[line_start : error.start].decode()) + 1,
        ) from None
    return parse(text, file, answers=answers)
