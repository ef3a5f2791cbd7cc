# SPDX-License-Identifier: MIT
"""Every recorded answer of the real kernel, asked again.

A folder of transcripts has the name of the machine that it was recorded on.
"""

from __future__ import annotations

from pathlib import Path

import pytest

import kvmiommu
from kvmiommu import machine
from kvmiommu.transcript import Difference, replay, symbols_of

FOLDER = Path(__file__).with_name("transcripts")
TRANSCRIPTS = sorted(FOLDER.glob("*/*.uapi"))
_MOST_SHOWN = 10


def test_the_folder_has_transcripts() -> None:
    assert TRANSCRIPTS, f"no MACHINE/*.uapi in {FOLDER}"


def test_every_folder_is_a_machine() -> None:
    assert {path.parent.name for path in TRANSCRIPTS} <= set(machine.names())


@pytest.mark.parametrize("path", TRANSCRIPTS, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_answers_as_the_kernel_did(path: Path) -> None:
    description = machine.load(path.parent.name)
    result = replay(path, lambda: kvmiommu.System(description), symbols_of(description.abi))
    assert result.answers > 0, f"{path} records no answer"
    assert not result.differences, _report(result.differences)


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
