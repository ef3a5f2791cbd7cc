# SPDX-License-Identifier: MIT
"""What the structures of this package do beyond `ctypes.Structure`: nothing is cut to fit.

A number that does not fit its field is an `OverflowError` that names the field, in an assignment,
in the constructor and in an entry of an array. A name that is no field is an `AttributeError`, for
ctypes would take it for an attribute of the Python object. Where a field must have the bits of
another number, -1 above all, convert it as C does, by a ctypes number or by a mask::

    map.iova = ctypes.c_uint64(-4096)
    map.iova = -4096 & 0xFFFF_FFFF_FFFF_FFFF
"""

from __future__ import annotations

import ctypes
import difflib
from collections.abc import Callable
from functools import cache
from typing import Any, ClassVar, TypeAlias

from .._integers import fit

__all__ = ["Struct", "Union", "array"]

_Number: TypeAlias = (
    type[ctypes.c_uint8]
    | type[ctypes.c_uint16]
    | type[ctypes.c_uint32]
    | type[ctypes.c_uint64]
    | type[ctypes.c_int32]
    | type[ctypes.c_int64]
)
_set = object.__setattr__
_NUMBERS = (
    ctypes.c_uint8,
    ctypes.c_uint16,
    ctypes.c_uint32,
    ctypes.c_uint64,
    ctypes.c_int8,
    ctypes.c_int16,
    ctypes.c_int32,
    ctypes.c_int64,
)


def _limits(kind: type[Any]) -> tuple[int, int]:
    """The least and the greatest number of an integer type of ctypes."""
    bits = 8 * ctypes.sizeof(kind)
    if kind(-1).value < 0:
        return -1 << (bits - 1), (1 << (bits - 1)) - 1
    return 0, (1 << bits) - 1


def _number(name: str, kind: type[Any], value: Any) -> Any:
    """What ctypes is to store: a number of ctypes has its bits already."""
    return value if isinstance(value, kind) else fit(name, value, *_limits(kind))


def _number_taker(name: str, kind: type[Any]) -> Callable[[Any], Any]:
    """The same for one field, quick for what fits."""
    low, high = _limits(kind)

    def take(value: Any) -> Any:
        if type(value) is int and low <= value <= high:
            return value
        return _number(name, kind, value)

    return take


class _CheckedArray:
    """The entries of an array in a structure."""

    _type_: type[Any]
    _length_: int

    def __setitem__(self, key: int | slice, value: Any) -> None:
        if isinstance(key, slice):
            places = range(*key.indices(self._length_))
            value = [
                _number(f"entry {at}", self._type_, each)
                for at, each in zip(places, value, strict=True)
            ]
        else:
            value = _number(f"entry {key}", self._type_, value)
        super().__setitem__(key, value)  # type: ignore[misc]


@cache
def array(kind: _Number, length: int) -> type[ctypes.Array[Any]]:
    """The type of an array of integers: `kind * length`, but an entry must fit."""
    plain = kind * length
    return type(plain.__name__, (_CheckedArray, plain), {})


def _array(name: str, kind: type[Any], value: Any) -> Any:
    """The array that an assignment of a tuple, a list, bytes or another array stands for."""
    if isinstance(value, kind):
        return value
    try:
        entries = tuple(value)
    except TypeError:
        given = type(value).__name__
        raise TypeError(f"{name} must be a sequence of integers, not {given}") from None
    if len(entries) > kind._length_:
        raise ValueError(f"{name} has {kind._length_} entries, not {len(entries)}")
    return kind(*(_number(f"{name}[{at}]", kind._type_, each) for at, each in enumerate(entries)))


def _fields(kind: type[Any]) -> dict[str, type[Any]]:
    """The type of each field, and of those of unnamed members, which are assigned as fields."""
    fields: dict[str, type[Any]] = {}
    for each in reversed(kind.__mro__):
        anonymous = each.__dict__.get("_anonymous_", ())
        for name, member, *_ in each.__dict__.get("_fields_", ()):
            if name in anonymous:
                fields.update(_fields(member))
            fields[name] = member
    return fields


def _taker(name: str, member: type[Any]) -> Callable[[Any], Any]:
    if issubclass(member, _NUMBERS):
        return _number_taker(name, member)
    if issubclass(member, _CheckedArray):
        return lambda value: _array(name, member, value)
    # ctypes makes a structure of a tuple too, but wraps what the constructor raises.
    return lambda value: member(*value) if isinstance(value, tuple) else value


class _Checked:
    """The assignment of a field. The constructor of ctypes assigns its arguments by it, too."""

    #: For each field what turns a value into one that ctypes stores as it is.
    _takers: ClassVar[dict[str, Callable[[Any], Any]]]

    def __init_subclass__(cls) -> None:
        fields = _fields(cls)
        cls._takers = {name: _taker(f"{cls.__name__}.{name}", fields[name]) for name in fields}

    def __setattr__(self, name: str, value: Any) -> None:
        try:
            take = self._takers[name]
        except KeyError:
            alike = difflib.get_close_matches(name, self._takers, n=1)
            hint = f"; did you mean {alike[0]!r}?" if alike else ""
            raise AttributeError(f"{type(self).__name__} has no field {name!r}{hint}") from None
        _set(self, name, take(value))


class Struct(_Checked, ctypes.Structure):
    """A structure of the kernel's user interfaces. Its fields take what fits them."""


class Union(_Checked, ctypes.Union):
    """Fields that share their bytes. Each takes what fits it."""
