# SPDX-License-Identifier: MIT
"""What was replayed, as a person, a program or a CI server reads it."""

from __future__ import annotations

import json
import re
import socket
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree as ET

from kvmiommu.transcript import Difference, FileResult

from ._inputs import Warned
from ._terminal import styled

__all__ = [
    "Played",
    "answers_in",
    "as_json",
    "as_junit",
    "describe",
    "differences_in",
    "labelled",
    "summary",
    "table",
]


@dataclass(frozen=True, slots=True)
class Played:
    """A transcript that was played."""

    machine: str
    title: str
    result: FileResult
    warnings: tuple[Warned, ...] = ()


# -- for a person ----------------------------------------------------------------------------------


def describe(difference: Difference) -> str:
    """A difference as a person reads it; the format stands in the command's help."""
    place = styled(f"{difference.file}:{difference.line}:", bold=True)
    lines = [f"{place} {difference.call}"]
    lines += labelled("recorded", [line.strip() for line in difference.recorded])
    lines += labelled("got", [line.strip() for line in difference.got] or ["no answer"])
    fields = difference.fields()
    if difference.recorded[:1] == difference.got[:1] and fields:
        lines += labelled(
            "differs", [f"field {at + 1}: {was}, got {now}" for at, was, now in fields]
        )
    lines += labelled("reason", [difference.reason or "nothing was refused"])
    return "\n".join(lines)


def labelled(label: str, lines: Sequence[str], width: int = 9) -> list[str]:
    """Lines below each other behind a label."""
    labels = [styled(label.ljust(width), fg="cyan"), *[" " * width] * (len(lines) - 1)]
    return [f"  {head} {line}" for head, line in zip(labels, lines, strict=True)]


def summary(answers: int, differences: int, files: int) -> str:
    """The last line of the text."""
    return styled(
        f"{answers} answers, {differences} differences, {files} files",
        fg="red" if differences else "green",
    )


def answers_in(played: Iterable[Played]) -> int:
    """How many calls were played."""
    return sum(each.result.answers for each in played)


def differences_in(played: Iterable[Played]) -> int:
    """How many of them differ."""
    return sum(len(each.result.differences) for each in played)


def table(played: Iterable[Played]) -> str:
    """The figures for each machine."""
    rows = [("machine", "files", "answers", "differences", "time")]
    for name, each in _by_machine(played).items():
        rows.append(
            (
                name,
                str(len(each)),
                str(answers_in(each)),
                str(differences_in(each)),
                f"{sum(one.result.seconds for one in each):.2f} s",
            )
        )
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]) for row in rows
    )


def _by_machine(played: Iterable[Played]) -> dict[str, list[Played]]:
    machines: dict[str, list[Played]] = {}
    for each in played:
        machines.setdefault(each.machine, []).append(each)
    return machines


# -- for a program ---------------------------------------------------------------------------------


def as_json(command: str, played: Sequence[Played]) -> str:
    """The report as JSON; docs/reference/command-line.md describes it."""
    return json.dumps(
        {
            "version": 1,
            "command": command,
            "answers": answers_in(played),
            "differences": differences_in(played),
            "files": [_file(each) for each in played],
        },
        indent=2,
    )


def _file(played: Played) -> dict[str, object]:
    return {
        "file": played.result.file,
        "title": played.title,
        "machine": played.machine,
        "answers": played.result.answers,
        "seconds": round(played.result.seconds, 6),
        "warnings": [
            {"line": each.line, "column": each.column, "message": each.message}
            for each in played.warnings
        ],
        "differences": [_difference(each) for each in played.result.differences],
    }


def _difference(difference: Difference) -> dict[str, object]:
    return {
        "line": difference.line,
        "call": difference.call,
        "recorded": [line.strip() for line in difference.recorded],
        "got": [line.strip() for line in difference.got],
        "fields": [
            {"index": at, "recorded": was, "got": now} for at, was, now in difference.fields()
        ],
        "reason": difference.reason,
    }


# -- for a CI server -------------------------------------------------------------------------------

_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def as_junit(played: Sequence[Played]) -> str:
    """The report as JUnit XML: a suite for each machine, a test case for each file.

    It has what both common schemas ask for (that of Apache Ant and that of Jenkins).
    """
    root = ET.Element("testsuites")
    begun = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime())
    for number, (machine, each) in enumerate(_by_machine(played).items()):
        failed = sum(bool(one.result.differences) for one in each)
        suite = ET.SubElement(
            root,
            "testsuite",
            {
                "name": _xml(machine),
                "package": "kvmiommu",
                "id": str(number),
                "timestamp": begun,
                "hostname": _xml(socket.gethostname()) or "localhost",
                "tests": str(len(each)),
                "failures": str(failed),
                "errors": "0",
                "time": f"{sum(one.result.seconds for one in each):.3f}",
            },
        )
        properties = ET.SubElement(suite, "properties")
        ET.SubElement(properties, "property", {"name": "machine", "value": _xml(machine)})
        for one in each:
            _case(suite, one)
        warnings = [str(warning) for one in each for warning in one.warnings]
        ET.SubElement(suite, "system-out").text = ""
        ET.SubElement(suite, "system-err").text = _xml("\n".join(warnings))
    ET.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ET.tostring(root, encoding="unicode")


def _case(suite: ET.Element, played: Played) -> None:
    file = Path(played.result.file)
    case = ET.SubElement(
        suite,
        "testcase",
        {
            "name": _xml(file.name),
            "classname": _xml(f"{played.machine}.{file.stem}"),
            "time": f"{played.result.seconds:.3f}",
        },
    )
    if differences := played.result.differences:
        failure = ET.SubElement(
            case,
            "failure",
            {
                "message": f"{len(differences)} of {played.result.answers} answers differ",
                "type": "difference",
            },
        )
        failure.text = _xml("\n\n".join(describe(each) for each in differences))


def _xml(text: str) -> str:
    """Text without the characters that XML cannot have; colour is for terminals."""
    return _NOT_XML.sub("\N{REPLACEMENT CHARACTER}", re.sub("\x1b\\[[0-9;]*m", "", text))
