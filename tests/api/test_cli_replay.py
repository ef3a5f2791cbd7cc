# SPDX-License-Identifier: MIT
"""`kvmiommu replay`: what it prints, where, and how it ends."""

from __future__ import annotations

import errno
import sys
from pathlib import Path

import pytest

from kvmiommu import machine
from kvmiommu.cli import _terminal, main, replay
from kvmiommu.transcript import Difference

GOOD = "status VmLck\n  = 0\n"
BAD = "open c /dev/kvm O_RDWR\n  = ok\n"
CONSTANTS = {"O_RDWR": 2}


class Process:
    """Answers two calls: no file can be opened, and VmLck is 0."""

    def open(self, path: str, flags: int) -> int:
        raise OSError(errno.EACCES, f"{path} may not be opened with flags {flags}")

    def status(self, key: str) -> int:
        return 0


class System:
    def __enter__(self) -> System:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def process(self) -> Process:
        return Process()


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The machines of the systems that were made."""
    machines: list[str] = []

    def make_system(description: machine.Machine) -> System:
        machines.append(description.name)
        return System()

    monkeypatch.setattr(replay, "make_system", make_system)
    monkeypatch.setattr(replay, "symbols_of", lambda abi: CONSTANTS.__getitem__)
    return machines


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """q35-intel/ with a transcript that holds, and below it one that differs."""
    base = tmp_path / "q35-intel"
    deeper = tmp_path / "more" / "q35-intel"
    base.mkdir()
    deeper.mkdir(parents=True)
    (base / "good.uapi").write_text(GOOD, encoding="utf-8")
    (base / "notes.txt").write_text("nonsense", encoding="utf-8")
    (deeper / "bad.uapi").write_text(GOOD + BAD, encoding="utf-8")
    return tmp_path


def test_no_difference_is_one_line_and_status_0(
    made: list[str], folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["replay", str(folder / "q35-intel")]) == 0
    out, err = capsys.readouterr()
    assert out == "1 answers, 0 differences, 1 files\n"
    assert err == ""
    assert made == ["q35-intel"]


def test_a_difference_is_reported_in_full_and_status_1(
    made: list[str], folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["replay", str(folder)]) == 1
    out, _ = capsys.readouterr()
    assert out == (
        f"{folder}/more/q35-intel/bad.uapi:3: open c /dev/kvm O_RDWR\n"
        "  recorded  = ok\n"
        "  got       = -EACCES\n"
        "  reason    /dev/kvm may not be opened with flags 2\n"
        "3 answers, 1 differences, 2 files\n"
    )
    assert made == ["q35-intel"] * 2


def test_a_changed_block_is_reported_field_by_field() -> None:
    difference = Difference(
        "a.uapi",
        7,
        "ioctl c REQ u32:1 u32:2",
        ("  = 0", "  > u32:1 u32:0x3"),
        ("  = 0", "  > u32:1 u32:2"),
        "",
    )
    assert replay.describe(difference) == (
        "a.uapi:7: ioctl c REQ u32:1 u32:2\n"
        "  recorded  = 0\n"
        "            > u32:1 u32:0x3\n"
        "  got       = 0\n"
        "            > u32:1 u32:2\n"
        "  differs   field 2: u32:0x3, got u32:2\n"
        "  reason    nothing was refused"
    )


def test_a_file_named_twice_is_played_once(
    made: list[str], folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = str(folder / "q35-intel")
    assert main(["replay", path, f"{path}/good.uapi"]) == 0
    assert capsys.readouterr().out == "1 answers, 0 differences, 1 files\n"


def test_the_machine_can_be_chosen(
    made: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "one.uapi").write_text(GOOD, encoding="utf-8")
    mine = tmp_path / "mine.toml"
    text = machine.load("q35-intel").text().replace('name = "q35-intel"', 'name = "mine"')
    mine.write_text(text, encoding="utf-8")
    assert main(["replay", "--machine", "q35-intel", str(tmp_path / "one.uapi")]) == 0
    assert main(["replay", "--machine", str(mine), str(tmp_path / "one.uapi")]) == 0
    assert made == ["q35-intel", "mine"]


def test_the_table_stands_before_the_last_line(
    made: list[str], folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["replay", "--table", str(folder)]) == 1
    *_, head, row, last = capsys.readouterr().out.splitlines()
    assert head.split() == ["machine", "files", "answers", "differences", "time"]
    assert row.split()[:4] == ["q35-intel", "2", "3", "1"]
    assert row.endswith(" s")
    assert len(head) == len(row)
    assert last == "3 answers, 1 differences, 2 files"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["{}/nowhere"],
            "no such path: '{}/nowhere'; expected a transcript (.uapi), a folder of them, or '-'",
        ),
        (["{}/empty"], "no transcript in the folder '{}/empty'; expected files named *.uapi"),
        (
            ["--machine", "q35-intle", "{}"],
            "machine: found the unknown name 'q35-intle'; expected one of ",
        ),
        (
            ["{}/other"],
            "machine: found the unknown name 'other'; expected one of ",
        ),
        (
            ["--machine", "q35-intel", "{}"],
            "{}/other/wrong.uapi:2:1: the unknown call 'opne'; expected 'open'?",
        ),
        (
            ["{}/q35-intel", "{}/constant/q35-intel/a.uapi"],
            "{}/constant/q35-intel/a.uapi:1:9: the unknown constant 'NEW'; expected a constant of",
        ),
    ],
)
def test_a_wrong_command_is_explained_and_plays_nothing(
    made: list[str],
    folder: Path,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    message: str,
) -> None:
    (folder / "empty").mkdir()
    (folder / "other").mkdir()
    (folder / "other" / "wrong.uapi").write_text("# title: x\nopne\n", encoding="utf-8")
    (folder / "constant" / "q35-intel").mkdir(parents=True)
    constant = folder / "constant" / "q35-intel" / "a.uapi"
    constant.write_text("memlock 1\n  = 0\n", encoding="utf-8")
    if "constant" in message:
        constant.write_text("memlock NEW\n  = 0\n", encoding="utf-8")
    assert main(["replay", *(argument.format(folder) for argument in arguments)]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("kvmiommu: " + message.format(folder))
    assert made == []


def test_an_unknown_machine_lists_the_known_ones(
    made: list[str], folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = folder / "one.uapi"
    path.write_text(GOOD, encoding="utf-8")
    assert main(["replay", str(path)]) == 2
    err = capsys.readouterr().err
    assert ", ".join(machine.names()) in err
    assert f"(from the folder of '{path}'; --machine NAME overrules it)" in err


def test_a_bind_that_names_nothing_ends_the_run(
    made: list[str], folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = folder / "q35-intel" / "good.uapi"
    path.write_text("ioctl 1 2 u32:1 bind x 2\n  = 0\n  > u32:1\n", encoding="utf-8")
    assert main(["replay", str(path)]) == 2
    err = capsys.readouterr().err
    assert err == f"kvmiommu: {path}:1:1: 'bind x 2'; expected the offset of a number: 0\n"


def test_a_long_run_on_a_terminal_shows_its_progress(
    made: list[str],
    folder: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(_terminal, "_PATIENCE", -1.0)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    main(["replay", str(folder)])
    out, err = capsys.readouterr()
    assert "\r\x1b[K1/2 files, 2 answers, 1 differences" in err
    assert err.endswith("\r\x1b[K")
    assert out.endswith("3 answers, 1 differences, 2 files\n")


def test_help_teaches_and_version_tells(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    assert "kvmiommu replay transcripts/q35-intel" in capsys.readouterr().out
    assert main(["replay", "--help"]) == 0
    assert "A answers, D differences, F files" in capsys.readouterr().out
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("kvmiommu ")


def test_no_command_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    assert "COMMAND" in capsys.readouterr().err
    assert main(["replay"]) == 2
    assert "PATH" in capsys.readouterr().err


def test_a_path_that_cannot_be_looked_at_is_not_blamed_on_standard_output(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["replay", "a" * 300]) == 2
    assert capsys.readouterr().err == (
        f"kvmiommu: '{'a' * 300}' cannot be read: File name too long\n"
    )


@pytest.mark.parametrize("wanted", ["foo_source", "bash_foo", "bash_complete"])
def test_a_wish_for_completion_that_cannot_be_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], wanted: str
) -> None:
    monkeypatch.setenv("_KVMIOMMU_COMPLETE", wanted)
    assert main([]) == 2
    assert capsys.readouterr().err.startswith(
        f"kvmiommu: _KVMIOMMU_COMPLETE is '{wanted}'; expected bash_source, "
    )


IOMMUFD = "open i /dev/iommu O_RDWR\n  = ok\n"


def test_what_no_machine_can_play_is_set_aside_and_said(
    made: list[str], folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "q35-intel" / "iommufd.uapi").write_text(IOMMUFD, encoding="utf-8")
    (folder / "q35-intel" / "forks.uapi").write_text(f"child {BAD}", encoding="utf-8")
    (folder / "elsewhere").mkdir()
    (folder / "elsewhere" / "good.uapi").write_text(GOOD, encoding="utf-8")
    (folder / "more" / "q35-intel" / "bad.uapi").unlink()
    assert main(["replay", str(folder)]) == 0
    out, err = capsys.readouterr()
    assert out == "1 answers, 0 differences, 1 files\n"
    assert err.splitlines() == [
        "set aside: 1 file of elsewhere: no machine is called 'elsewhere'",
        "set aside: 1 file of q35-intel: no machine has child",
        "set aside: 1 file of q35-intel: no machine has /dev/iommu",
    ]
    assert made == ["q35-intel"]


def test_a_transcript_that_is_named_is_played_whatever_it_needs(
    made: list[str], folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = folder / "q35-intel" / "iommufd.uapi"
    path.write_text(IOMMUFD, encoding="utf-8")
    assert main(["replay", str(path)]) == 1
    out, err = capsys.readouterr()
    assert "got       = -EACCES" in out
    assert err == ""


def test_a_folder_of_which_nothing_is_left_is_an_error(
    made: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "q35-intel").mkdir()
    path = tmp_path / "q35-intel" / "iommufd.uapi"
    path.write_text(IOMMUFD, encoding="utf-8")
    assert main(["replay", str(tmp_path)]) == 2
    assert capsys.readouterr().err == f"kvmiommu: {path}: no machine has /dev/iommu\n"
    assert made == []
