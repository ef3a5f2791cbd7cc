# SPDX-License-Identifier: MIT
"""`kvmiommu machines`, `show`, `check`, `diff` and `bench`: what they print, and how they end."""

from __future__ import annotations

import io
import json
import re
import sys
from pathlib import Path

import pytest

from kvmiommu import machine
from kvmiommu.cli import main

Capture = pytest.CaptureFixture[str]

CALLS = """\
open c /dev/vfio/vfio O_RDWR
open g /dev/vfio/4 O_RDWR
ioctl g VFIO_GROUP_SET_CONTAINER fd:c
ioctl c VFIO_SET_IOMMU val:VFIO_TYPE1v2_IOMMU
ioctl c VFIO_CHECK_EXTENSION val:VFIO_DMA_CC_IOMMU
"""


def give_stdin(monkeypatch: pytest.MonkeyPatch, data: bytes) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))


def test_machines_lists_groups_devices_and_addresses(capsys: Capture) -> None:
    assert main(["machines"]) == 0
    out = capsys.readouterr().out
    for name in machine.names():
        assert re.search(rf"^{name}: ", out, re.MULTILINE)
    assert "q35-intel: x86_64, 4K pages, 4G of memory, Linux 6.12.117\n" in out
    assert "  iommu dmar0: intel, 48 bits, pages 4K, 2M, 1G\n" in out
    assert "  group 1   0000:00:02.0  edu          vfio-pci (vfio0)\n" in out
    assert (
        "  group 3   0000:00:04.0  host         no driver\n"
        "            0000:02:01.0  edu          vfio-pci (vfio3)\n" in out
    )
    assert "  no group  0000:02:01.0  edu          no driver\n" in out


def test_machines_can_be_chosen_named_and_read_by_programs(capsys: Capture) -> None:
    assert main(["machines", "--names"]) == 0
    assert capsys.readouterr().out.split() == machine.names()
    assert main(["machines", "--json", "q35-amd"]) == 0
    (described,) = json.loads(capsys.readouterr().out)["machines"]
    assert described["name"] == "q35-amd"
    assert described["groups"]["3"] == ["0000:00:04.0", "0000:02:01.0", "0000:02:02.0"]
    assert described["pci"][1]["model"] == "edu"


def test_show_prints_a_description_that_can_be_used(
    capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main(["show", "q35-intel"]) == 0
    text = capsys.readouterr().out
    assert machine.parse(text) == machine.load("q35-intel")
    give_stdin(monkeypatch, text.encode())
    assert main(["show", "--json", "-"]) == 0
    assert json.loads(capsys.readouterr().out)["memory"] == 4 << 30


def test_check_reports_every_mistake_with_its_line_and_what_was_meant(
    tmp_path: Path, capsys: Capture
) -> None:
    wrong, right = tmp_path / "wrong.toml", tmp_path / "right.toml"
    text = machine.load("q35-intel").text()
    right.write_text(text, encoding="utf-8")
    wrong.write_text(
        text.replace("memory =", "memroy =").replace('"intel"', '"intle"'), encoding="utf-8"
    )
    assert main(["check", str(wrong), str(right)]) == 1
    out, err = capsys.readouterr()
    unknown, driver, ok = out.splitlines()
    assert unknown.startswith(f"{wrong}:6: machine.memroy: found an unknown key; expected one of")
    assert unknown.endswith("(did you mean 'memory'?)")
    assert re.match(rf"{re.escape(str(wrong))}:\d+: iommu\[0\]\.driver: found 'intle'", driver)
    assert ok.startswith(f"{right}: ok, Machine q35-intel: x86_64, 4K pages")
    assert err == ""


def test_check_has_its_mistakes_as_json_and_reads_standard_input(
    capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    give_stdin(monkeypatch, b"[machine]\nnmae = 1\n")
    assert main(["check", "--json", "-"]) == 1
    report = json.loads(capsys.readouterr().out)
    assert (report["version"], report["command"], report["files"]) == (1, "check", 1)
    first = report["mistakes"][0]
    assert first.keys() == {"file", "line", "key", "found", "expected", "suggestion"}
    assert (first["file"], first["line"], first["key"]) == ("<stdin>", 2, "machine.nmae")
    assert first["suggestion"] == "name"
    give_stdin(monkeypatch, b"\n\xff")
    assert main(["check", "-"]) == 1
    assert capsys.readouterr().out.startswith("<stdin>:2: found no text (byte 0xff); expected")


def test_check_of_a_file_that_cannot_be_read_is_an_error(tmp_path: Path, capsys: Capture) -> None:
    assert main(["check", str(tmp_path / "none.toml")]) == 2
    assert capsys.readouterr().err == (
        f"kvmiommu: '{tmp_path}/none.toml' cannot be read: No such file or directory\n"
    )


def test_diff_shows_what_differs_between_two_machines(tmp_path: Path, capsys: Capture) -> None:
    file = tmp_path / "calls.uapi"
    file.write_text(CALLS, encoding="utf-8")
    assert main(["diff", "q35-intel", "q35-intel", str(file)]) == 0
    assert capsys.readouterr().out == "5 answers, 0 differences, 1 files\n"
    assert main(["diff", "q35-intel", "q35-virtio", str(file)]) == 1
    assert capsys.readouterr().out == (
        f"{file}:5: ioctl c VFIO_CHECK_EXTENSION val:VFIO_DMA_CC_IOMMU\n"
        "  q35-intel   = 1\n"
        "  q35-virtio  = 0\n"
        "5 answers, 1 differences, 1 files\n"
    )


def test_diff_is_readable_by_programs_and_takes_standard_input(
    capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    give_stdin(monkeypatch, CALLS.replace("/4", "/8").encode())
    assert main(["diff", "--json", "q35-intel", "q35-virtio", "-"]) == 1
    report = json.loads(capsys.readouterr().out)
    assert report["machines"] == ["q35-intel", "q35-virtio"]
    assert (report["answers"], report["differences"]) == (5, 4)
    (file,) = report["files"]
    assert file["file"] == "<stdin>"
    opened = file["differences"][0]
    assert (opened["line"], opened["call"]) == (2, "open g /dev/vfio/8 O_RDWR")
    assert [each["answer"] for each in opened["got"]] == [["= ok"], ["= -ENOENT"]]
    assert opened["got"][1]["reason"]


def test_diff_names_unlike_descriptions_of_one_name_by_their_order(
    tmp_path: Path, capsys: Capture
) -> None:
    other = machine.load("q35-intel", options={"vfio_iommu_type1.allow_unsafe_interrupts": True},
                         modules={"vfio": True})  # fmt: skip
    mine, calls = tmp_path / "mine.toml", tmp_path / "a.uapi"
    text = other.text().replace("enforce_cache_coherency = true", "enforce_cache_coherency = false")
    mine.write_text(text, encoding="utf-8")
    calls.write_text(CALLS, encoding="utf-8")
    assert main(["diff", "q35-intel", str(mine), str(calls)]) == 1
    assert "  first   = 1\n  second  = 0\n" in capsys.readouterr().out


def test_bench_prints_the_table_of_the_kernels_benchmark(capsys: Capture) -> None:
    assert main(["bench", "--rounds", "2", "vtdss", "tce"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].endswith(", 2 rounds")
    assert lines[1:4] == ["vtdss", "  map", "    pgsz  ,avg ns, min ns"]
    assert [line.split(",")[0].strip() for line in lines[4:10]] == [
        "2^12", "2^21", "2^30", "256*2^12", "256*2^21", "256*2^30"
    ]  # fmt: skip
    assert all(re.fullmatch(r" +[0-9*^]+, *[0-9.]+, *[0-9.]+", line) for line in lines[4:10])
    assert lines[10] == "  unmap"
    assert "tce" in lines


def test_bench_times_every_format_of_the_package(capsys: Capture) -> None:
    from kvmiommu import iommu  # noqa: PLC0415

    names = sorted(iommu.formats())
    assert main(["bench", "--rounds", "1", "--json", *names]) == 0
    report = json.loads(capsys.readouterr().out)
    assert sorted(report["formats"]) == names
    for rows in report["formats"].values():
        assert rows
        for row in rows:
            assert 0 <= row["map"]["least"] <= row["map"]["average"]
    assert max(row["map"]["least"] for row in report["formats"]["vtdss"]) > 0
    assert report["processor"]


@pytest.mark.parametrize(
    ("arguments", "message", "usage"),
    [
        ([], "missing command", "kvmiommu COMMAND"),
        (["repaly"], "no such command: 'repaly'; did you mean 'replay'?", "kvmiommu COMMAND"),
        (["xyz"], "no such command: 'xyz'; expected one of bench, check, diff", "kvmiommu"),
        (["replay"], "missing argument 'PATH...'", "kvmiommu replay"),
        (["replay", "--jsn", "x"], "no such option", "kvmiommu replay"),
        (["replay", "-j", "0", "x"], "invalid value for '-j' / '--jobs': 0 is not", "kvmiommu rep"),
        (["replay", "-j", "many", "x"], "invalid value for '-j' / '--jobs'", "kvmiommu replay"),
        (["replay", "-o", "x", "y"], "--output needs a report to write: --json or", "kvmiommu rep"),
        (["replay", "-x", "--record", "x", "y"], "--record writes all answers", "kvmiommu replay"),
        (
            ["replay", "--json", "--record", "-", "y"],
            "a report and --record cannot",
            "kvmiommu rep",
        ),
        (["diff", "q35-intel"], "missing argument", "kvmiommu diff"),
        (["diff", "-", "-", "x"], "'-' stands for standard input, which", "kvmiommu diff"),
        (["replay", "--machine", "-", "-"], "'-' stands for standard input", "kvmiommu replay"),
        (["bench", "vtds"], "invalid value for '[FORMAT]...'", "kvmiommu bench"),
        (["show"], "missing argument 'MACHINE'", "kvmiommu show"),
    ],
)
def test_a_wrong_command_line_is_one_line_and_a_hint(
    arguments: list[str], message: str, usage: str, capsys: Capture
) -> None:
    assert main(arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    message_line, hint = err.splitlines()
    assert message_line.startswith(f"kvmiommu: {message}")
    assert hint.startswith(f"usage: {usage}")


@pytest.mark.parametrize(
    "command", [[], ["machines"], ["show"], ["check"], ["replay"], ["diff"], ["bench"]]
)
def test_help_of_every_command_teaches_with_examples(command: list[str], capsys: Capture) -> None:
    assert main([*command, "--help"]) == 0
    out = capsys.readouterr().out
    assert "Examples:\n" in out
    assert f"    {' '.join(['kvmiommu', *command])} " in out


def test_an_unknown_machine_is_reported_with_the_one_that_was_meant(capsys: Capture) -> None:
    assert main(["show", "q35-intle"]) == 2
    err = capsys.readouterr().err
    assert err.startswith("kvmiommu: machine: found the unknown name 'q35-intle'; expected one of")
    assert err.endswith("(did you mean 'q35-intel'?)\n")
