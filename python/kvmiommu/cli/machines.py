# SPDX-License-Identifier: MIT
"""`kvmiommu machines`, `show` and `check`: which machines there are, and what is wrong with one."""

from __future__ import annotations

import dataclasses
import json

import click

from kvmiommu import machine
from kvmiommu.machine import Machine, MachineError, Mistake, PciFunction
from kvmiommu.machine.sizes import size_text

from ._inputs import STDIN, MachineName, load_machine, read_bytes
from ._terminal import styled, write

__all__ = ["check", "machines", "show"]

_FEW = 6


@click.command(
    "machines",
    short_help="List the machines, their groups and devices.",
    epilog="""\
\b
Examples:
  kvmiommu machines             all of them, with groups, devices and addresses
  kvmiommu machines q35-intel   one of them
  kvmiommu machines --names     their names alone, one a line
  kvmiommu machines --json      the same for programs
""",
)
@click.argument("chosen", metavar="[MACHINE]...", nargs=-1, type=MachineName())
@click.option("--names", is_flag=True, help="Print the names alone.")
@click.option("--json", "as_json", is_flag=True, help="Print the machines as JSON.")
def machines(chosen: tuple[str, ...], names: bool, as_json: bool) -> int:
    """Lists the machines that come with the package: IOMMUs, groups, and the devices in each.

    A device has its address, its model, the driver that holds it, and with vfio-pci the number of
    its /dev/vfio/devices/vfioN.
    """
    found = [load_machine(name) for name in chosen or machine.names()]
    if as_json:
        write(json.dumps({"version": 1, "machines": [_data(each) for each in found]}, indent=2))
    elif names:
        write("\n".join(each.name for each in found))
    else:
        write("\n\n".join(_listed(each) for each in found))
    return 0


def _listed(each: Machine) -> str:
    lines = [
        f"{styled(each.name, bold=True)}: {each.arch}, {size_text(each.page_size)} pages, "
        f"{size_text(each.memory)} of memory, Linux {each.kernel}"
    ]
    for iommu in each.iommus:
        lines.append(
            f"  iommu {iommu.name}: {iommu.driver}, {iommu.address_width} bits, "
            f"pages {_pages(iommu.page_sizes)}"
        )
    for number, functions in each.groups().items():
        lines += [
            _line(f"group {number}" if not at else "", one) for at, one in enumerate(functions)
        ]
    lines += [_line("no group", one) for one in each.pci if one.group is None]
    lines += [f"  {f'group {one.group}':<10}{one.name}  emulated" for one in each.emulated]
    return "\n".join(lines)


def _pages(sizes: tuple[int, ...]) -> str:
    if len(sizes) <= _FEW:
        return ", ".join(map(size_text, sizes))
    return f"{size_text(sizes[0])} to {size_text(sizes[-1])}, {len(sizes)} sizes"


def _line(group: str, function: PciFunction) -> str:
    driver = function.driver or "no driver"
    vfio = f" (vfio{function.vfio})" if function.vfio is not None else ""
    return f"  {group:<10}{function.address}  {function.model:<13}{driver}{vfio}"


def _data(each: Machine) -> dict[str, object]:
    data = dataclasses.asdict(each)
    data["groups"] = {
        str(number): [function.address for function in functions]
        for number, functions in each.groups().items()
    }
    return data


@click.command(
    "show",
    short_help="Print the description of a machine.",
    epilog="""\
\b
Examples:
  kvmiommu show q35-intel > mine.toml    a start for a machine of your own
  kvmiommu show --json mine.toml
""",
)
@click.argument("name", metavar="MACHINE", type=MachineName())
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON.")
def show(name: str, as_json: bool) -> int:
    """Prints the description of a machine as TOML, every key written out.

    MACHINE is the name of a machine that comes with the package, a .toml file, or '-' for standard
    input.
    """
    found = load_machine(name)
    write(
        json.dumps({"version": 1, **_data(found)}, indent=2) if as_json else found.text().rstrip()
    )
    return 0


@click.command(
    "check",
    short_help="Check descriptions of machines, and report every mistake.",
    epilog="""\
\b
Examples:
  kvmiommu check machines/*.toml
  kvmiommu check --json - < mine.toml
\b
Exit status: 0 all are right, 1 there are mistakes, 2 a file cannot be read.
""",
)
@click.argument("files", metavar="FILE...", nargs=-1, required=True, type=click.Path())
@click.option("--json", "as_json", is_flag=True, help="Print the mistakes as JSON.")
def check(files: tuple[str, ...], as_json: bool) -> int:
    """Checks descriptions of machines, and reports every mistake in them.

    A mistake has its file, its line, its key, what was found there, what was expected, and the
    word that was probably meant:

    \b
      mine.toml:5: machine.memroy: found an unknown key; expected one of … (did you mean 'memory'?)

    FILE is a .toml file, or '-' for standard input.
    """
    mistakes: list[Mistake] = []
    for file in files:
        name = "<stdin>" if file == STDIN else file
        try:
            found = machine.parse(_text(read_bytes(file), name), name)
        except MachineError as error:
            mistakes += error.mistakes
            if not as_json:
                for mistake in error.mistakes:
                    write(_told(mistake))
        else:
            if not as_json:
                write(f"{name}: {styled('ok', fg='green')}, {repr(found)[1:-1]}")
    if as_json:
        write(
            json.dumps(
                {
                    "version": 1,
                    "command": "check",
                    "files": len(files),
                    "mistakes": [dataclasses.asdict(each) for each in mistakes],
                },
                indent=2,
            )
        )
    return 1 if mistakes else 0


def _text(data: bytes, name: str) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        found = f"no text (byte {data[error.start]:#04x})"
        raise MachineError([Mistake(name, line, "", found, "TOML in UTF-8")]) from None


def _told(mistake: Mistake) -> str:
    text = str(mistake)
    return styled(mistake.place, bold=True) + text.removeprefix(mistake.place)
