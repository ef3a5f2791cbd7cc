# SPDX-License-Identifier: MIT
"""The lines of answers in a transcript."""

from __future__ import annotations

import re

from . import errnos
from .calls import number_of
from .errors import SyntaxMistake

__all__ = ["BEGIN", "fields_of", "result_of"]

#: The column at which what an answer says begins, behind "  = " and "  > ".
BEGIN = 5

_RESULT = re.compile(
    r"-?[0-9]{1,20}(?: 0x[0-9a-f]{1,16})?|ok|exit|SIGSEGV|SIGBUS|-E[A-Z0-9]+"
    r"|exit_reason [0-9]{1,20}"
)
_FIELD = re.compile(r"(?:u8|u16|u32|u64|fd|ptr):(\S+)|hex:(?:[0-9a-f]{2})*|zero:[0-9]+")
_RESULT_HELP = "'  = ' and a number, -ENAME, ok, exit, SIGSEGV or SIGBUS"


def result_of(line: str) -> str:
    """The result of a line `  = RESULT`, an errno as the recorder writes it."""
    result = line.removeprefix("  = ")
    if not _RESULT.fullmatch(result):
        raise SyntaxMistake(f"the result '{result}'", _RESULT_HELP, BEGIN)
    if not result.startswith("-E"):
        return result
    known = errnos.canonical(result[1:])
    if known is None:
        near = errnos.nearest(result[1:])
        raise SyntaxMistake(
            f"the unknown errno '{result[1:]}'",
            f"'{near}'?" if near else "the name of an errno, or E and its number",
            BEGIN + 1,
        )
    return f"-{known}"


def fields_of(line: str) -> tuple[str, ...]:
    """The fields of a line `  > FIELD…`."""
    if line == "  >":  # bytes were read, but not one whole field
        return ()
    column = BEGIN
    fields = tuple(line.removeprefix("  > ").split(" "))
    for field in fields:
        match = _FIELD.fullmatch(field)
        if match is None:
            raise SyntaxMistake(
                f"'{field}' in an answer",
                "TYPE:VALUE with TYPE one of u8, u16, u32, u64, fd, ptr, zero, hex",
                column,
            )
        if match[1]:
            try:
                number_of(match[1])
            except SyntaxMistake as mistake:
                mistake.column = column
                raise
        column += len(field) + 1
    return fields
