# SPDX-License-Identifier: MIT
"""What the documentation shows runs: every program in examples/, and the guide to testing."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"


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


@pytest.mark.parametrize(
    ("page", "tests"), [("test-with-pytest.md", 5), ("test-with-hypothesis.md", 2)]
)
def test_the_testing_guides_test(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, page: str, tests: int
) -> None:
    """A guide's blocks are one test module, with the fixtures that come with the package."""
    # Hypothesis's own profile for CI has no deadline, which would measure the machine's other work.
    monkeypatch.setenv("CI", "true")
    guide = (ROOT / "docs" / "how-to" / page).read_text(encoding="utf-8")
    blocks = re.findall(r"^```python\n(.*?)^```", guide, flags=re.MULTILINE | re.DOTALL)
    pytester.makepyfile("\n".join(blocks))
    result = pytester.runpytest_subprocess("-p", "no:cacheprovider")
    result.assert_outcomes(passed=tests)


def test_the_guide_to_page_tables_runs(capsys: pytest.CaptureFixture[str]) -> None:
    """Its blocks are one program; what it prints is what the text says."""
    guide = (ROOT / "docs" / "how-to" / "play-with-page-tables.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```python\n(.*?)^```", guide, flags=re.MULTILINE | re.DOTALL)
    exec(compile("\n".join(blocks), "play-with-page-tables.md", "exec"), {})
    printed = capsys.readouterr().out
    shown = re.findall(r"^```text\n(.*?)^```", guide, flags=re.MULTILINE | re.DOTALL)
    assert printed.startswith(shown[0] + "iova 0x201000 lies in")
    assert [int(line.split()[-1]) // 4096 for line in printed.splitlines()[5:8]] == [515, 3, 2]
    assert printed.splitlines()[8:] == [
        "whole 2097152",
        "whole_from_start 0",
        "split 4096",
        "refuse 0",
    ]


def test_the_guide_to_devices_prints_what_it_shows(capsys: pytest.CaptureFixture[str]) -> None:
    guide = (ROOT / "docs" / "how-to" / "drive-a-device.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```python\n(.*?)^```", guide, flags=re.MULTILINE | re.DOTALL)
    names: dict[str, Any] = {}
    exec(compile("\n".join(blocks), "drive-a-device.md", "exec"), names)
    names["system"].close()
    *_, shown = re.findall(r"^```text\n(.*?)^```", guide, flags=re.MULTILINE | re.DOTALL)
    assert capsys.readouterr().out == shown


def test_the_guide_to_interrupts_prints_what_it_shows(capsys: pytest.CaptureFixture[str]) -> None:
    guide = (ROOT / "docs" / "how-to" / "wait-for-an-interrupt.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```python\n(.*?)^```", guide, flags=re.MULTILINE | re.DOTALL)
    exec(compile("\n".join(blocks), "wait-for-an-interrupt.md", "exec"), {})
    shown = re.findall(r"^```text\n(.*?)^```", guide, flags=re.MULTILINE | re.DOTALL)
    assert capsys.readouterr().out == "".join(shown)


def test_the_page_on_stale_translations_shows_one(capsys: pytest.CaptureFixture[str]) -> None:
    page = (ROOT / "docs" / "explanation" / "iotlb.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"^```python\n(.*?)^```", page, flags=re.MULTILINE | re.DOTALL)
    exec(compile(block, "iotlb.md", "exec"), {})
    use, fault = capsys.readouterr().out.splitlines()
    assert use.split(maxsplit=1)[1].startswith("0000:00:02.0 read 0x100000: unmap ")
    assert fault.split(maxsplit=1)[1] == "0000:00:02.0 read 0x100000: not mapped"
