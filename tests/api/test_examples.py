# SPDX-License-Identifier: MIT
"""Every program in examples/ runs, from a process of its own as people run it."""

import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.mark.parametrize("example", sorted(EXAMPLES.glob("*.py")), ids=lambda path: path.stem)
def test_an_example_runs_and_says_something(example: Path) -> None:
    run = subprocess.run(
        [sys.executable, "-W", "error", str(example)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    assert run.stdout
    assert run.stderr == ""


def test_map_a_buffer_shows_the_pins_and_the_refusal() -> None:
    run = subprocess.run(
        [sys.executable, str(EXAMPLES / "map_a_buffer.py")],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    lines = run.stdout.splitlines()
    assert lines[0] == "page sizes of the IOMMU: 0x40201000"
    assert "256 frames pinned" in lines[1]
    assert "[Errno 17]" in lines[2]
    assert lines[3] == "unmapped 0x100000 bytes: 0 frames pinned"
