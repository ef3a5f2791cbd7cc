# SPDX-License-Identifier: MIT
"""`kvmiommu replay`: reports for programs, recording, several processes, standard input."""

from __future__ import annotations

import io
import json
import re
import sys
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from kvmiommu.cli import main
from kvmiommu.transcript import parse_file

Capture = pytest.CaptureFixture[str]

#: Two answers are right; the last is not the machine's, nor the third's second field.
CALLS = """\
# title: a few calls
open c /dev/vfio/vfio O_RDWR
  = ok
open g /dev/vfio/1 O_RDWR  # the first group
  = ok

ioctl g VFIO_GROUP_GET_STATUS u32:8 u32:0
  = 0
  > u32:8 u32:0x3
ioctl c VFIO_GET_API_VERSION
  = 7
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Six transcripts for q35-intel; the second and the fifth differ."""
    base = tmp_path / "q35-intel"
    base.mkdir()
    right = CALLS.replace("0x3", "0x1").replace("= 7", "= 0")
    for number in range(6):
        text = CALLS if number in (1, 4) else right
        (base / f"{number}.uapi").write_text(text, encoding="utf-8")
    return base


def test_json_has_every_difference(folder: Path, capsys: Capture) -> None:
    assert main(["replay", "--json", str(folder)]) == 1
    out, err = capsys.readouterr()
    assert err == ""
    report = json.loads(out)
    assert report.keys() == {"version", "command", "answers", "differences", "files"}
    assert (report["version"], report["command"]) == (1, "replay")
    assert (report["answers"], report["differences"], len(report["files"])) == (24, 4, 6)
    assert [len(file["differences"]) for file in report["files"]] == [0, 2, 0, 0, 2, 0]
    file = report["files"][1]
    assert file["file"] == f"{folder}/1.uapi"
    assert (file["title"], file["machine"], file["answers"]) == ("a few calls", "q35-intel", 4)
    assert file["seconds"] >= 0
    assert file["warnings"] == []
    status, version = file["differences"]
    assert status == {
        "line": 7,
        "call": "ioctl g VFIO_GROUP_GET_STATUS u32:8 u32:0",
        "recorded": ["= 0", "> u32:8 u32:0x3"],
        "got": ["= 0", "> u32:8 u32:0x1"],
        "fields": [{"index": 1, "recorded": "u32:0x3", "got": "u32:0x1"}],
        "reason": "",
    }
    assert (version["recorded"], version["got"]) == (["= 7"], ["= 0"])


def test_junit_is_what_both_common_schemas_ask_for(folder: Path, capsys: Capture) -> None:
    assert main(["replay", "--junit", str(folder)]) == 1
    text = capsys.readouterr().out
    assert text.startswith('<?xml version="1.0" encoding="UTF-8"?>\n')
    root = ET.fromstring(text)
    assert (root.tag, root.attrib) == ("testsuites", {})
    (suite,) = root
    assert suite.tag == "testsuite"
    assert suite.attrib.keys() == {
        "name", "package", "id", "timestamp", "hostname", "tests", "failures", "errors", "time"
    }  # fmt: skip
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d", suite.attrib["timestamp"])
    assert (suite.attrib["name"], suite.attrib["id"]) == ("q35-intel", "0")
    counts = [suite.attrib[key] for key in ("tests", "failures", "errors")]
    assert counts == ["6", "2", "0"]
    properties, *cases, out, err = suite
    assert (properties.tag, out.tag, err.tag) == ("properties", "system-out", "system-err")
    assert [case.tag for case in cases] == ["testcase"] * 6
    assert [case.attrib["name"] for case in cases] == [f"{number}.uapi" for number in range(6)]
    for case in cases:
        assert case.attrib.keys() == {"name", "classname", "time"}
        assert float(case.attrib["time"]) >= 0
        assert len(case) <= 1
    (failure,) = cases[1]
    assert failure.tag == "failure"
    assert failure.attrib == {"message": "2 of 4 answers differ", "type": "difference"}
    assert f"{folder}/1.uapi:7: ioctl g VFIO_GROUP_GET_STATUS" in (failure.text or "")


def test_junit_has_no_character_that_xml_cannot_have(tmp_path: Path, capsys: Capture) -> None:
    base = tmp_path / "q35-intel"
    base.mkdir()
    file = base / "\x01<&\udcff.uapi"
    file.write_text("open c /dev/\x02<& O_RDWR\n  = ok\n", encoding="utf-8")
    assert main(["replay", "--junit", str(file)]) == 1
    (suite,) = ET.fromstring(capsys.readouterr().out)
    assert suite[1].attrib["name"] == "\ufffd<&\ufffd.uapi"
    assert "open c /dev/\ufffd<& O_RDWR" in (suite[1][0].text or "")


def test_a_report_goes_to_a_file_and_the_text_stays(
    folder: Path, tmp_path: Path, capsys: Capture
) -> None:
    report = tmp_path / "new" / "report.json"
    assert main(["replay", "--json", "-o", str(report), str(folder)]) == 1
    out = capsys.readouterr().out
    assert out.endswith("\n24 answers, 4 differences, 6 files\n")
    assert json.loads(report.read_text())["differences"] == 4
    assert main(["replay", "--json", "-o", str(tmp_path), str(folder)]) == 2
    capsys.readouterr()
    assert main(["replay", "--json", "-o", "/dev/full/x", str(folder)]) == 2
    assert "cannot be written: " in capsys.readouterr().err


@pytest.mark.parametrize("jobs", ["1", "3"])
def test_output_is_the_same_and_in_order_with_any_number_of_processes(
    folder: Path, jobs: str, capsys: Capture
) -> None:
    assert main(["replay", "-j", jobs, str(folder)]) == 1
    out, err = capsys.readouterr()
    places = [line.split(": ")[0] for line in out.splitlines() if line.startswith(str(folder))]
    assert places == [f"{folder}/{file}.uapi:{line}" for file in (1, 4) for line in (7, 10)]
    assert out.endswith("\n24 answers, 4 differences, 6 files\n")
    assert err == ""


@pytest.mark.parametrize("jobs", ["1", "2"])
def test_fail_fast_stops_at_the_first_difference(folder: Path, jobs: str, capsys: Capture) -> None:
    assert main(["replay", "--fail-fast", "-j", jobs, str(folder)]) == 1
    out = capsys.readouterr().out
    assert out.count(f"{folder}/") == 1
    assert out.startswith(f"{folder}/1.uapi:7: ")
    assert out.endswith("\n7 answers, 1 differences, 2 files\n")


def test_a_mistake_that_shows_in_a_worker_is_reported_as_any_other(
    folder: Path, capsys: Capture
) -> None:
    wrong = folder / "3.uapi"
    wrong.write_text("ioctl 1 2 u32:1 bind x 2\n  = 0\n  > u32:1\n", encoding="utf-8")
    assert main(["replay", "-j", "2", str(folder)]) == 2
    err = capsys.readouterr().err
    assert err == f"kvmiommu: {wrong}:1:1: 'bind x 2'; expected the offset of a number: 0\n"


def test_every_file_with_a_mistake_is_reported_and_nothing_is_played(
    folder: Path, capsys: Capture
) -> None:
    (folder / "0.uapi").write_text("close c\n  = -EEXISTS\n", encoding="utf-8")
    (folder / "2.uapi").write_text("memlock NEW\n  = 0\n", encoding="utf-8")
    (folder / "3.uapi").write_text("", encoding="utf-8")
    (folder / "5.uapi").write_text("close c\n  = ok\n", encoding="utf-8")
    assert main(["replay", str(folder)]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines() == [
        f"kvmiommu: {folder}/0.uapi:1:1: the unknown errno 'EEXISTS'; expected 'EEXIST'?".replace(
            "0.uapi:1:1", "0.uapi:2:6"
        ),
        f"kvmiommu: {folder}/2.uapi:1:9: the unknown constant 'NEW'; expected a constant of the "
        "kernel's user headers",
        f"kvmiommu: {folder}/3.uapi:1:1: no call; expected a call, such as "
        "'open c /dev/vfio/vfio O_RDWR'",
        f"kvmiommu: {folder}/5.uapi:2:5: the result 'ok'; expected a number or -ENAME, as this "
        "call has",
    ]


def test_a_constant_that_was_meant_is_named(folder: Path, capsys: Capture) -> None:
    (folder / "0.uapi").write_text("open c /dev/kvm O_RDRW\n  = ok\n", encoding="utf-8")
    assert main(["replay", str(folder)]) == 2
    assert "0.uapi:1:17: the unknown constant 'O_RDRW'; " in (err := capsys.readouterr().err)
    assert err.endswith("(did you mean 'O_RDWR'?)\n")


def test_a_name_that_nothing_defines_is_a_warning_and_with_strict_an_error(
    folder: Path, capsys: Capture
) -> None:
    file = folder / "0.uapi"
    file.write_text("mem buffer 0x1000\n  = ok\nclose bufer\n  = -EBADF\n", encoding="utf-8")
    message = "nothing in the file defines 'bufer', so it stands for -1 (did you mean 'buffer'?)"
    assert main(["replay", str(file)]) == 0
    out, err = capsys.readouterr()
    assert out == "2 answers, 0 differences, 1 files\n"
    assert err == f"{file}:3:7: warning: {message}\n"
    assert main(["replay", "--json", str(file)]) == 0
    (warning,) = json.loads(capsys.readouterr().out)["files"][0]["warnings"]
    assert warning == {"line": 3, "column": 7, "message": message}
    assert main(["replay", "--strict", str(file)]) == 2
    assert capsys.readouterr() == ("", f"kvmiommu: {file}:3:7: {message}\n")


def test_standard_input_needs_a_machine(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(CALLS.encode())))
    assert main(["replay", "-"]) == 2
    assert capsys.readouterr().err == (
        "kvmiommu: standard input is in no folder with a machine's name; add --machine NAME\n"
    )
    assert main(["replay", "--machine", "q35-intel", "-"]) == 1
    assert capsys.readouterr().out.startswith("<stdin>:7: ioctl g VFIO_GROUP_GET_STATUS")
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"close c\n\xff")))
    assert main(["replay", "--machine", "q35-intel", "-"]) == 2
    assert "<stdin>:2:1: the byte 0xff; expected text in UTF-8" in capsys.readouterr().err


def test_a_recording_has_the_emulators_answers_and_the_files_calls(
    folder: Path, tmp_path: Path, capsys: Capture
) -> None:
    out = tmp_path / "new.uapi"
    assert main(["replay", "--record", str(out), str(folder / "1.uapi")]) == 1
    assert out.read_text() == CALLS.replace("0x3", "0x1").replace("= 7", "= 0")
    capsys.readouterr()
    assert main(["replay", "--record", "-", str(folder / "1.uapi")]) == 1
    assert capsys.readouterr().out == out.read_text()
    assert main(["replay", "--machine", "q35-intel", str(out)]) == 0


def test_calls_to_be_recorded_need_no_answers(tmp_path: Path, capsys: Capture) -> None:
    calls, out = tmp_path / "calls.uapi", tmp_path / "out.uapi"
    calls.write_text("# one\nopen c /dev/kvm O_RDWR\nguest c c nothing # two", encoding="utf-8")
    assert main(["replay", "--machine", "q35-intel", "--record", str(out), str(calls)]) == 0
    assert capsys.readouterr().out == "2 answers, 0 differences, 1 files\n"
    assert out.read_text().splitlines()[:4] == [
        "# one",
        "open c /dev/kvm O_RDWR",
        "  = ok",
        "# guest c c nothing # two",
    ]
    assert out.read_text().splitlines()[4].startswith("# ")  # why there is no answer
    assert len(parse_file(out).steps) == 1


def test_several_recordings_go_to_a_folder(folder: Path, tmp_path: Path, capsys: Capture) -> None:
    out = tmp_path / "out"
    assert main(["replay", "--record", "-", str(folder)]) == 2
    assert capsys.readouterr().err == (
        "kvmiommu: several transcripts cannot be written to standard output; name a folder\n"
    )
    assert main(["replay", "-j", "2", "--record", str(out), str(folder)]) == 1
    assert sorted(path.name for path in (out / "q35-intel").iterdir()) == [
        f"{number}.uapi" for number in range(6)
    ]
    capsys.readouterr()
    assert main(["replay", str(out)]) == 0
    assert capsys.readouterr().out == "24 answers, 0 differences, 6 files\n"
