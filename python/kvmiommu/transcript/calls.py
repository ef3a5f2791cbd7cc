# SPDX-License-Identifier: MIT
"""The words of transcripts as data: numbers, the fields of an argument block, and calls."""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias, cast

from .errors import SyntaxMistake

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
NAME = re.compile(r"[a-z][A-Za-z0-9_]*")
_MOST_DIGITS = 64
_NUMBER_HELP = "a number: 12, 0x1f, CONSTANT, $bound, buffer, A+B or A|B"


def _atom(text: str, whole: str) -> Atom:
    if _INTEGER.fullmatch(text):
        digits = text.lstrip("-")
        octal = len(digits) > 1 and digits.isdecimal() and digits[0] == "0"
        value = int(digits, 8 if octal else 0) if len(digits) <= _MOST_DIGITS else 1 << 64
        if value >> (63 if text[0] == "-" and value != 1 << 63 else 64):
            raise SyntaxMistake(f"the number {text} in '{whole}'", "a number of at most 64 bits")
        return Integer((-value if text[0] == "-" else value) & 0xFFFF_FFFF_FFFF_FFFF)
    if text.startswith("$") and NAME.fullmatch(text[1:]):
        return Variable(text[1:])
    if _WORD.fullmatch(text):
        return Constant(text) if text[0].isupper() else Variable(text)
    raise SyntaxMistake(f"'{text}' in '{whole}'" if text != whole else f"'{text}'", _NUMBER_HELP)


@functools.lru_cache(maxsize=65536)
def number_of(text: str) -> Number:
    """The number that is written so."""
    sums = []
    for part in text.split("|"):
        terms = part.split("+")
        if len(terms) > 2:
            raise SyntaxMistake(f"'{part}'", "a sum of two numbers at most")
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
def token_of(word: str) -> Token:
    """The field of a block that is written so."""
    kind, colon, text = word.partition(":")
    if not colon:
        raise SyntaxMistake(f"'{word}' where a field of the block should be", _TOKEN_HELP)
    if kind in WIDTHS or kind == "zero":
        return Token(cast(TokenType, kind), text, number=number_of(text))
    if kind == "str":
        return Token("str", text, data=text.encode(errors="surrogatepass") + b"\0")
    if kind == "hex":
        if len(text) % 2 or not re.fullmatch(r"[0-9a-fA-F]*", text):
            raise SyntaxMistake(f"'{word}'", "hex: and pairs of hexadecimal digits")
        return Token("hex", text, data=bytes.fromhex(text))
    raise SyntaxMistake(f"the type '{kind}' in '{word}'", _TOKEN_HELP)


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
class Bind:
    """`bind NAME OFFSET`: names the field that stands at that offset after a successful call."""

    name: str
    offset: Number


@dataclass(frozen=True, slots=True)
class Shape:
    """`TOKEN… [bind NAME OFFSET]…`: the fields that bytes which were read are shown as.

    A field with the token's value is shown as it was written, a bound one by its name; fields that
    are not wholly within what was read are left out.
    """

    tokens: tuple[Token, ...]
    binds: tuple[Bind, ...] = ()


@dataclass(frozen=True, slots=True)
class Peek:
    """`peek ADDRESS LENGTH [TOKEN… [bind NAME OFFSET]…]`: reads memory, and may end in a signal."""

    address: Number
    length: Number
    shape: Shape | None = None


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
    """`memfd NAME SIZE [huge] [sealable]`."""

    name: str
    size: Number
    huge: bool = False
    sealable: bool = False


@dataclass(frozen=True, slots=True)
class Seal:
    """`seal FD SEALS`: fcntl(F_ADD_SEALS)."""

    fd: Number
    seals: Number


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
    """`read FD LENGTH [TOKEN… [bind NAME OFFSET]…]`."""

    fd: Number
    length: Number
    shape: Shape | None = None


@dataclass(frozen=True, slots=True)
class Pread:
    """`pread FD LENGTH OFFSET`."""

    fd: Number
    length: Number
    offset: Number


@dataclass(frozen=True, slots=True)
class Write:
    """`write FD [TOKEN…]`."""

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


@dataclass(frozen=True, slots=True)
class Child:
    """`child CALL…`: a forked process makes the call, and ends.

    It has the descriptors, the memory and the names of its parent; what it binds is lost with it.
    """

    call: Call


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
    | Seal
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
    | Child
)
