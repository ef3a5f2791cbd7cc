# SPDX-License-Identifier: MIT
"""Every recorded answer of the real kernel, asked again.

A folder of transcripts has the name of the machine that it was recorded on. A transcript that needs
what no machine here has is set aside, in a test of its own that says so: the kernel was seen to
open `/dev/iommu` or a device node for it, or it has the call `child`, or its machine is not
described. These tests fail once that is no longer so.
"""

from __future__ import annotations

import functools
import os
from pathlib import Path

import pytest

import kvmiommu
from kvmiommu import machine
from kvmiommu.transcript import (
    Difference,
    Transcript,
    buffer_alignment,
    check_answers,
    check_constants,
    parse_file,
    replay,
    symbols_of,
    unmet_needs,
)

FOLDER = Path(__file__).with_name("transcripts")
TRANSCRIPTS = sorted(FOLDER.glob("*/*.uapi"))
_MOST_SHOWN = 10

#: Machines that only /dev/iommu makes different from those that are described.
WITHOUT_A_MACHINE = {"q35-mock", "q35-mock-7.2", "virt-mock-64k", "virt-smmuv3-nested-7.2"}


def _aside(path: Path) -> bool:
    return path.parent.name in WITHOUT_A_MACHINE or bool(unmet_needs(_parsed(path)))


@functools.cache
def _parsed(path: Path) -> Transcript:
    return parse_file(path)


def _name(path: Path) -> str:
    return f"{path.parent.name}/{path.stem}"


PLAYED = [path for path in TRANSCRIPTS if not _aside(path)]
SET_ASIDE = [path for path in TRANSCRIPTS if _aside(path)]


def test_the_folder_has_transcripts() -> None:
    assert PLAYED, f"no MACHINE/*.uapi in {FOLDER}"


def test_every_folder_is_a_machine_or_known_to_have_none() -> None:
    folders = {path.parent.name for path in TRANSCRIPTS}
    assert folders - set(machine.names()) == WITHOUT_A_MACHINE


@pytest.mark.parametrize("path", PLAYED, ids=_name)
def test_answers_as_the_kernel_did(path: Path) -> None:
    description = machine.load(path.parent.name)
    result = replay(
        _parsed(path),
        lambda: kvmiommu.System(description),
        symbols_of(description.abi),
        alignment=buffer_alignment(description.arch, description.page_size),
    )
    assert result.answers > 0, f"{path} records no answer"
    assert not result.differences, _report(result.differences)


@pytest.mark.parametrize("path", SET_ASIDE, ids=_name)
def test_is_set_aside_and_can_be_read(path: Path) -> None:
    transcript = _parsed(path)
    check_constants(transcript, symbols_of("generic"))
    check_answers(transcript)


@pytest.mark.parametrize("name", sorted({path.parent.name for path in PLAYED}))
def test_no_machine_has_what_transcripts_are_set_aside_for(name: str) -> None:
    with kvmiommu.System(name) as system:
        process = system.process()
        assert not hasattr(process, "fork")
        nodes = [f"/dev/vfio/devices/vfio{function.vfio}" for function in system.machine.pci]
        for node in ("/dev/iommu", *nodes):
            with pytest.raises(FileNotFoundError):
                process.open(node, os.O_RDWR)


def _report(differences: tuple[Difference, ...]) -> str:
    shown = "\n".join(map(_describe, differences[:_MOST_SHOWN]))
    more = len(differences) - _MOST_SHOWN
    return f"{len(differences)} answers differ:\n{shown}" + (f"\n… {more} more" if more > 0 else "")


def _describe(difference: Difference) -> str:
    return "\n".join(
        [
            f"{Path(difference.file).name}:{difference.line}: {difference.call}",
            *(f"    recorded  {line.strip()}" for line in difference.recorded),
            *(f"    got       {line.strip()}" for line in difference.got or ("no answer",)),
            *(f"    field {at + 1}: {was}, got {now}" for at, was, now in difference.fields()),
            f"    reason    {difference.reason or 'nothing was refused'}",
        ]
    )


def test_a_difference_tells_call_record_answer_and_reason() -> None:
    difference = Difference(
        "m/f.uapi", 7, "ioctl c 1 u32:8 u32:1", ("  = 0", "  > u32:8 u32:0x1"), (), "no such call"
    )
    text = _report((difference,) * 12)
    for part in ("12 answers", "f.uapi:7", "ioctl c 1", "= 0", "u32:0x1", "no answer", "no such"):
        assert part in text
    assert text.endswith("… 2 more")
