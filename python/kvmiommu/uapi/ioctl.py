"""How an ioctl's number is made, and both ways in which Linux makes it.

A request says which way its argument goes, whose it is (``type``), which it is (``nr``) and how
long the argument is. x86 and most others put these into 2, 8, 8 and 14 bits, POWER into 3, 8, 8
and 13, with other numbers for the directions. So one request has two numbers::

    >>> request = iow(0xAE, 0xE1, 24)
    >>> f"{request:#x}", f"{request.number('power'):#x}"
    ('0x4018aee1', '0x8018aee1')
"""

import ctypes
from typing import Any, Literal, Self

Abi = Literal["generic", "power"]
Direction = Literal["none", "write", "read", "read_write"]

# An argument by its length, or by its type.
Argument = int | type[ctypes.Structure] | type[ctypes.c_uint32] | type[ctypes.c_uint64]

Pointed = type[Any]
# What an argument that is a pointer leads to: char stands for a string.
Pointee = (
    type[ctypes.Structure] | type[ctypes.c_uint32] | type[ctypes.c_int32] | type[ctypes.c_char]
)

# abi -> (where the direction begins, bits of the size, the directions)
_ENCODINGS: dict[str, tuple[int, int, dict[str, int]]] = {
    "generic": (30, 14, {"none": 0, "write": 1, "read": 2, "read_write": 3}),
    "power": (29, 13, {"none": 1, "read": 2, "write": 4, "read_write": 6}),
}


def ioctl_number(
    direction: Direction, type: int, nr: int, size: int = 0, abi: Abi = "generic"
) -> int:
    """Return the number that a program passes to ioctl().

    ``direction`` is the kernel's: "write" is ``_IOW``, an argument that the kernel reads.
    """
    if abi not in _ENCODINGS:
        raise ValueError(f'abi is "generic" or "power", not {abi!r}')
    shift, size_bits, directions = _ENCODINGS[abi]
    if direction not in directions:
        raise ValueError(f"direction is one of {', '.join(directions)}, not {direction!r}")
    for what, value, bits in (("type", type, 8), ("nr", nr, 8), ("size", size, size_bits)):
        if not 0 <= value < 1 << bits:
            raise ValueError(f"{what} has {bits} bits in the {abi} encoding, {value:#x} has more")
    return directions[direction] << shift | size << 16 | type << 8 | nr


class Request(int):
    """An ioctl: the integer is its generic number, so it can be given to ``fcntl.ioctl`` as it is.

    ``power_size`` is the length of the argument on POWER where that differs from x86's ``size``:
    structures of registers. ``argument`` is what the argument points to, where that is known.
    """

    direction: Direction
    type: int
    nr: int
    size: int
    power_size: int
    argument: Pointed | None

    def __new__(
        cls,
        direction: Direction,
        type: int,
        nr: int,
        size: int = 0,
        *,
        power_size: int | None = None,
        argument: Pointed | None = None,
    ) -> Self:
        request = super().__new__(cls, ioctl_number(direction, type, nr, size))
        request.direction = direction
        request.type = type
        request.nr = nr
        request.size = size
        request.power_size = size if power_size is None else power_size
        request.argument = argument
        return request

    def __getnewargs_ex__(self) -> tuple[tuple[Direction, int, int, int], dict[str, object]]:
        more: dict[str, object] = {"power_size": self.power_size, "argument": self.argument}
        return (self.direction, self.type, self.nr, self.size), more

    def number(self, abi: Abi = "generic") -> int:
        """Return the number in the encoding of ``abi``."""
        if abi == "generic":
            return int(self)
        return ioctl_number(self.direction, self.type, self.nr, self.power_size, abi)

    def __repr__(self) -> str:
        return (
            f"<Request {int(self):#x}: {self.direction}, type {self.type:#x}, "
            f"nr {self.nr:#x}, size {self.size}>"
        )


def _size(argument: Argument) -> int:
    return argument if isinstance(argument, int) else ctypes.sizeof(argument)


def _type(argument: Argument) -> Pointed | None:
    return None if isinstance(argument, int) else argument


def io(type: int, nr: int, argument: Pointee | None = None) -> Request:
    """Return the kernel's ``_IO(type, nr)``, which does not encode its ``argument``."""
    return Request("none", type, nr, argument=argument)


def iow(type: int, nr: int, argument: Argument, *, power_size: int | None = None) -> Request:
    """Return the kernel's ``_IOW``; ``argument`` is its ctypes type or its length."""
    return Request(
        "write", type, nr, _size(argument), power_size=power_size, argument=_type(argument)
    )


def ior(type: int, nr: int, argument: Argument, *, power_size: int | None = None) -> Request:
    """Return the kernel's ``_IOR``; ``argument`` is its ctypes type or its length."""
    return Request(
        "read", type, nr, _size(argument), power_size=power_size, argument=_type(argument)
    )


def iowr(type: int, nr: int, argument: Argument) -> Request:
    """Return the kernel's ``_IOWR``; ``argument`` is its ctypes type or its length."""
    return Request("read_write", type, nr, _size(argument), argument=_type(argument))
