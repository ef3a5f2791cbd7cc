# SPDX-License-Identifier: MIT
"""Where descriptions come from: the package, files, texts, and changes to any of them."""

from __future__ import annotations

import functools
import pickle
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import TypedDict, Unpack, cast

from .description import EmulatedDevice, Iommu, Machine, Modules, PciFunction
from .known import OPTIONS
from .mistakes import MachineError, Mistake, nearest
from .positions import Path as Place
from .positions import lines_of
from .reading import read
from .writing import data_of, record_of, tables_of

__all__ = ["Changes", "check", "load", "names", "parse"]

_MACHINES = Path(__file__).parent.with_name("machines")
#: The fields of a machine that are tables of a description: merged, and replaced.
_MERGED = ("modules", "options")
_REPLACED = {"iommus": "iommu", "pci": "pci", "emulated": "emulated"}
_DECODE_ERROR = re.compile(r"(.*?) ?\(at (?:line (\d+), column \d+|end of document)\)", re.DOTALL)


class Changes(TypedDict, total=False):
    """What `load` and `parse` may change: any field of a `Machine`. Sizes may be "16G"."""

    name: str
    arch: str
    abi: str
    page_size: int | str
    memory: int | str
    memory_start: int | str
    kernel: str
    interfaces: str
    firmware: bool
    proposals: Sequence[str]
    fixed: Sequence[str]
    semantics: str
    attach_after_map: str
    fragmentation: int | str | None
    modules: Modules | Mapping[str, bool]
    options: Mapping[str, int | bool]
    iommus: Sequence[Iommu]
    pci: Sequence[PciFunction]
    emulated: Sequence[EmulatedDevice]


def names() -> list[str]:
    """The machines that come with the package."""
    return sorted(path.stem for path in _MACHINES.glob("*.toml"))


def load(name_or_path: str | Path, **changes: Unpack[Changes]) -> Machine:
    """The machine of that name, or of that file: a Path, or a text with a '/' or '.toml' in it.

    `changes` are fields of a `Machine` that differ from the description; `modules`
    and `options` change what they name and leave the rest:

        machine.load("q35-intel", memory="16G", options={"iommu.strict": False})

    Raises MachineError for an unknown name, a file that cannot be read, a wrong description or a
    wrong change.
    """
    text = str(name_or_path)
    if isinstance(name_or_path, Path) or "/" in text or text.endswith(".toml"):
        return _load_file(Path(name_or_path), changes)
    known = names()
    if text not in known:
        raise MachineError(
            [
                Mistake(
                    "machine",
                    None,
                    "",
                    f"the unknown name '{text}'",
                    f"one of {', '.join(known)}, or a .toml file",
                    nearest(text, known),
                )
            ]
        )
    return _load_file(_MACHINES / f"{text}.toml", changes)


def _load_file(path: Path, changes: Changes) -> Machine:
    try:
        text = path.read_bytes().decode()
    except OSError as error:
        raise _no_description(
            path, f"no readable file ({error.strerror})", "a machine description in TOML"
        ) from error
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        found = f"no text (byte {error.object[error.start]:#04x})"
        raise _no_description(path, found, "TOML in UTF-8", line) from error
    except ValueError as error:  # a NUL in the path
        raise _no_description(path, f"no path ({error})", "a machine description in TOML") from None
    return parse(text, str(path), **changes)


def _no_description(path: Path, found: str, expected: str, line: int | None = None) -> MachineError:
    return MachineError([Mistake(str(path), line, "", found, expected)])


def parse(text: str, source: str = "<text>", **changes: Unpack[Changes]) -> Machine:
    """The machine that the TOML `text` describes; `source` is the name that errors show.

    `changes` are those of `load`. Raises MachineError, which holds all mistakes.
    """
    try:
        data = tomllib.loads(text)
    except ValueError as error:
        raise MachineError([_no_toml(text, source, str(error))]) from None
    except RecursionError:
        raise MachineError(
            [Mistake(source, 1, "", "lists within lists without end", "TOML, https://toml.io")]
        ) from None
    places = _changed(data, source, cast("Mapping[str, object]", changes))
    return read(data, source, functools.partial(_lines, text, places))


def _no_toml(text: str, source: str, message: str) -> Mistake:
    match = _DECODE_ERROR.fullmatch(message)
    if match is None:  # of Python itself: a number with thousands of digits
        digits = re.search("[0-9_]{4300}", text)
        line = text.count("\n", 0, digits.start()) + 1 if digits else 1
        return Mistake(source, line, "", f"no TOML ({message})", "TOML, https://toml.io")
    line = int(match[2]) if match[2] else max(len(text.splitlines()), 1)
    where = "" if match[2] else " at the end"
    return Mistake(source, line, "", f"no TOML ({match[1]}{where})", "TOML, https://toml.io")


def _changed(
    data: dict[str, object], source: str, changes: Mapping[str, object]
) -> frozenset[Place]:
    """Makes the changes in the document; the places that no longer are those of its text."""
    known = [each.name for each in fields(Machine)]
    unknown = [
        Mistake(
            source,
            None,
            name,
            "an unknown field",
            f"one of {', '.join(known)}",
            nearest(name, known),
        )
        for name in changes
        if name not in known
    ]
    if unknown:
        raise MachineError(unknown)
    places: set[Place] = set()
    for name, value in changes.items():
        if name in _REPLACED:
            key = _REPLACED[name]
            data[key] = tables_of(value)
            places.add((key,))
        elif name in _MERGED:
            table = data.setdefault(name, {})
            more = record_of(value) if isinstance(value, Modules) else value
            if isinstance(table, dict) and isinstance(more, Mapping):
                table.update(more)
                places.update((name, str(key)) for key in more)
            else:
                data[name] = more
                places.add((name,))
        else:
            table = data.setdefault("machine", {})
            if isinstance(table, dict):
                table[name] = _written(value)
                places.add(("machine", name))
    _release_as_one(data, changes)
    return frozenset(places)


def _release_as_one(data: Mapping[str, object], changes: Mapping[str, object]) -> None:
    """Who changes the kernel or its interfaces alone means the other to go with it."""
    table = data.get("machine")
    if isinstance(table, dict):
        for changed, other in (("kernel", "interfaces"), ("interfaces", "kernel")):
            if changed in changes and other not in changes:
                table.pop(other, None)


def _written(value: object) -> object:
    """A change as a description would have it."""
    if value is None:
        return "none"
    return list(value) if isinstance(value, tuple) else value


def _lines(text: str, changed: frozenset[Place]) -> dict[Place, int | None]:
    """The lines of a text; None for places that were changed, which it does not show."""
    lines: dict[Place, int | None] = {
        place: line
        for place, line in lines_of(text.replace("\r\n", "\n")).items()
        if not any(place[: len(each)] == each for each in changed)
    }
    return lines | dict.fromkeys(changed, None)


def check(machine: Machine) -> None:
    """Raises MachineError for a machine that no description could be of, as `parse` would for it.

    `dataclasses.replace` looks at nothing.
    """
    try:
        pickled = pickle.dumps(machine)
    except Exception:  # it has values that no description has, and the check says which
        _check(machine)
    else:
        _check_once(pickled)


def _check(machine: Machine) -> None:
    read(data_of(machine), machine.name, None)
    if absent := [name for name in OPTIONS if name not in machine.options]:
        raise MachineError(
            [
                Mistake(
                    machine.name, None, f'options."{name}"', "nothing", "a value of every option"
                )
                for name in absent
            ]
        )


@functools.lru_cache(maxsize=16)
def _check_once(pickled: bytes) -> None:
    """The same machine is made again and again, and looking at it takes as long as making it."""
    _check(pickle.loads(pickled))
