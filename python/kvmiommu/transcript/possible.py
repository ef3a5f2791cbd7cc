# SPDX-License-Identifier: MIT
"""Whether a call of a transcript can have the answer that stands there, whatever the kernel."""

from __future__ import annotations

from collections.abc import Mapping

from .answers import BEGIN
from .calls import (
    Block,
    Call,
    Close,
    Dup,
    Eventfd,
    Fail,
    Fill,
    Guest,
    Hcall,
    Ioctl,
    Mem,
    Memfd,
    Memlock,
    Mmap,
    Open,
    Peek,
    Poke,
    Poll,
    Pread,
    Protect,
    Pwrite,
    Read,
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
        case Mem() | Open() | Dup() | Eventfd() | Memfd() | Mmap() | Guest() | Fail():
            return _OK
        case Fill() | Poke() | Peek():
            return _MEMORY
        case Ioctl(result=str()):
            return _OK
        case Hcall():
            return _HCALL
        case Ioctl() | Close() | Unmem() | Truncate() | Protect() | Memlock() | Uid() | Status():
            return _NUMBER
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
    tokens = _tokens(step.call, result)
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


def _tokens(call: Call, result: str) -> tuple[Token | None, ...]:
    """The fields that the block of an answer has; None for those that are but bytes."""
    match call:
        case Ioctl(argument=Block(tokens)):
            return tokens
        case Peek() if result == "ok":
            return (None,)
        case Read() | Pread() if result.isdecimal() and result.strip("0"):
            return (None,)
        case _:
            return ()


def _is_bytes(token: Token, kind: str) -> bool:
    """Bytes are shown as hex, or as zero where all of them are."""
    return token.type in ("str", "hex", "zero") and kind in ("hex", "zero")
