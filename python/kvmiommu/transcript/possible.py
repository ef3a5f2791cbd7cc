# SPDX-License-Identifier: MIT
"""Whether a call of a transcript can have the answer that stands there, whatever the kernel."""

from __future__ import annotations

from collections.abc import Mapping

from .answers import BEGIN
from .calls import (
    WIDTHS,
    Block,
    Call,
    Child,
    Close,
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
    Truncate,
    Uid,
    Unmem,
    Write,
)
from .errors import TranscriptError
from .syntax import Step, Transcript

__all__ = ["check_answers"]

_OK = ("ok",)
_MEMORY = ("ok", "signal")
_NUMBER = ("number",)
_HCALL = ("number", "pair", "exit")
_WORDS: Mapping[str, str] = {
    "ok": "ok",
    "signal": "SIGSEGV or SIGBUS",
    "number": "a number",
    "pair": "a number and a register",
    "exit": "exit",
}


def _results(call: Call) -> tuple[str, ...] | None:
    """The kinds of results that a call can have, besides a refusal; None where nothing is known."""
    match call:
        case Mem() | Open() | Dup() | Eventfd() | Memfd() | Mmap() | Guest() | Fail() | Queue():
            return _OK
        case Fill() | Poke() | Peek():
            return _MEMORY
        case Ioctl(result=str()):
            return _OK
        case Hcall():
            return _HCALL
        case Ioctl() | Close() | Unmem() | Truncate() | Protect() | Memlock() | Uid() | Status():
            return _NUMBER
        case Seal():
            return _NUMBER
        case Child(inner):
            return _results(inner)
        case Read() | Pread() | Write() | Pwrite() | Poll():
            return _NUMBER
        case _:
            return None


def _kind(result: str) -> str:
    if result == "ok":
        return "ok"
    if result.startswith("SIG"):
        return "signal"
    if result.startswith("exit"):
        return "exit"
    return "pair" if " " in result else "number"


def check_answers(transcript: Transcript) -> None:
    """Raises TranscriptError for the first answer that no kernel can give to its call."""
    for step in transcript.steps:
        if step.answer.result:
            _check(step)


def _check(step: Step) -> None:
    result, fields = step.answer.result, step.answer.fields or ()

    def error(found: str, expected: str, column: int, below: int = 0) -> TranscriptError:
        line = step.answer.line + below
        return TranscriptError(step.file, line, found, expected, column=column)

    kinds = _results(step.call)
    if kinds is None:
        return
    if not result.startswith("-E") and _kind(result) not in kinds:
        some = ", ".join(_WORDS[kind] for kind in kinds)
        raise error(f"the result '{result}'", f"{some} or -ENAME, as this call has", BEGIN)
    tokens = _tokens(step.call, result, len(fields))
    if len(tokens) != len(fields):
        raise error(
            f"a block of {len(fields)} fields" if fields else "no block below",
            f"one of {len(tokens)} fields, as the call has" if tokens else "none for this call",
            BEGIN,
            1 if fields else 0,
        )
    column = BEGIN
    for token, field in zip(tokens, fields, strict=True):
        kind = field.partition(":")[0]
        if token is not None and kind != token.type and not _is_bytes(token, kind):
            raise error(f"'{field}'", f"what became of the call's '{token}'", column, 1)
        column += len(field) + 1


def _tokens(call: Call, result: str, shown: int) -> tuple[Token | None, ...]:
    """The fields that the block of an answer has; None for those that are but bytes.

    `shown` is how many there are: right where the call alone does not say how many bytes it read.
    """
    match call:
        case Child(inner):
            return _tokens(inner, result, shown)
        case Peek(length=length, shape=Shape(tokens)):
            return _within(tokens, _value(length), shown) if result == "ok" else ()
        case Read(shape=Shape(tokens)):
            return _within(tokens, int(result), shown) if result.isdecimal() else ()
        case Ioctl(argument=Block(tokens)):
            return tokens
        case Peek() if result == "ok":
            return (None,)
        case Read() | Pread() if result.isdecimal() and result.strip("0"):
            return (None,)
        case _:
            return ()


def _within(tokens: tuple[Token, ...], length: int | None, shown: int) -> tuple[Token, ...]:
    """The tokens that lie wholly within so many bytes."""
    end = 0
    for at, token in enumerate(tokens):
        size = len(token.data) if token.number is None else WIDTHS.get(token.type)
        if size is None and token.number is not None:  # zero:N
            size = _value(token.number)
        if size is None or length is None:
            return tokens[:shown]
        end += size
        if end > length:
            return tokens[:at]
    return tokens


def _value(number: Number) -> int | None:
    """The value of a number that is written out."""
    match number.sums:
        case ((Integer(value),),):
            return value
        case _:
            return None


def _is_bytes(token: Token, kind: str) -> bool:
    """Bytes are shown as hex, or as zero where all of them are."""
    return token.type in ("str", "hex", "zero") and kind in ("hex", "zero")
