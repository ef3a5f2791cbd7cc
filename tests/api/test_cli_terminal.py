# SPDX-License-Identifier: MIT
"""The command in its surroundings: pipes, terminals, signals, shells. Never a traceback."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import kvmiommu

COMMAND = (sys.executable, "-m", "kvmiommu")
ROOT = Path(__file__).parents[2]
TRANSCRIPTS = str(ROOT / "tests/conformance/transcripts/powernv9-4k")
COMMANDS = (
    ("machines",),
    ("show", "q35-intel"),
    ("check", str(Path(kvmiommu.__file__).parent / "machines/q35-intel.toml")),
    ("replay", TRANSCRIPTS),
    ("replay", "-j2", "--json", TRANSCRIPTS),
    ("diff", "powernv9-4k", "pseries-4k", TRANSCRIPTS),
    ("bench", "--rounds", "1", "mock"),
    ("--help",),
    ("replay", "--help"),
    ("--version",),
)


def run(*arguments: str, **more: object) -> subprocess.CompletedProcess[str]:
    given: dict[str, object] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **more}
    return subprocess.run(  # type: ignore[call-overload,no-any-return]
        [*COMMAND, *arguments], text=True, timeout=120, check=False, **given
    )


def on_a_terminal(*arguments: str, **environment: str) -> bytes:
    """What the command writes to standard output and standard error when both are a terminal."""
    parent, child = pty.openpty()
    env = {name: value for name, value in os.environ.items() if name != "NO_COLOR"}
    with subprocess.Popen(
        [*COMMAND, *arguments], stdout=child, stderr=child, env={**env, **environment}
    ):
        os.close(child)
        written = b""
        try:
            while data := os.read(parent, 65536):
                written += data
        except OSError:  # Linux says EIO where the other side is closed
            pass
    os.close(parent)
    return written


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_a_full_device_is_one_line_and_status_2(command: tuple[str, ...]) -> None:
    with open("/dev/full", "w", encoding="utf-8") as full:
        done = run(*command, stdout=full)
    assert done.returncode == 2
    lines = [line for line in done.stderr.splitlines() if ": warning: " not in line]
    assert lines == ["kvmiommu: standard output cannot be written: No space left on device"]


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_a_reader_who_leaves_is_one_line_and_status_2(command: tuple[str, ...]) -> None:
    read, write = os.pipe()
    os.close(read)
    try:
        done = run(*command, stdout=write)
    finally:
        os.close(write)
    assert done.returncode == 2
    lines = [line for line in done.stderr.splitlines() if ": warning: " not in line]
    assert lines == ["kvmiommu: standard output cannot be written: Broken pipe"]


def run_with(redirection: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Runs the command as a shell does with that redirection."""
    return subprocess.run(
        ["/bin/sh", "-c", f'exec "$@" {redirection}', "sh", *COMMAND, *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.mark.parametrize("command", COMMANDS[:5], ids=" ".join)
def test_a_closed_standard_output_is_one_line_and_status_2(command: tuple[str, ...]) -> None:
    done = run_with(">&-", *command)
    assert done.returncode == 2
    lines = [line for line in done.stderr.splitlines() if ": warning: " not in line]
    assert lines == ["kvmiommu: standard output cannot be written: it is closed"]


def test_closed_standard_input_and_error_are_no_traceback() -> None:
    done = run_with("<&-", "check", "-")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "kvmiommu: standard input is closed, and '-' stands for it\n"
    assert run_with("2>&-", "show", "none").returncode == 2


def test_an_interrupt_is_one_line_and_status_130() -> None:
    # Who runs the tests in the background has them ignore SIGINT, and their children too.
    program = (
        "import signal, sys; from kvmiommu.cli import main; "
        "signal.signal(signal.SIGINT, signal.default_int_handler); "
        "sys.exit(main(['bench', '--rounds', '1000000', 'mock']))"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    ) as process:
        try:
            assert process.stdout is not None
            process.stdout.readline()  # it is at work
            process.send_signal(signal.SIGINT)
            _, err = process.communicate(timeout=60)
        finally:
            process.kill()
    assert process.returncode == 130
    assert err.splitlines() == ["kvmiommu: interrupted"]


def test_colour_is_for_terminals_that_want_it(tmp_path: Path) -> None:
    assert b"\x1b[" in on_a_terminal("machines", "q35-intel", TERM="xterm")
    assert b"\x1b" not in on_a_terminal("machines", "q35-intel", TERM="dumb")
    assert b"\x1b" not in on_a_terminal("machines", "q35-intel", TERM="xterm", NO_COLOR="1")
    assert b"\x1b" not in on_a_terminal("--help", TERM="dumb")
    assert "\x1b" not in run("machines", "q35-intel").stdout


def test_a_name_that_is_no_text_is_written_with_escapes(tmp_path: Path) -> None:
    file = os.fsencode(tmp_path) + b"/\xff.uapi"
    Path(os.fsdecode(file)).write_text("close c\n  = 0\n", encoding="utf-8")
    done = subprocess.run(
        [*COMMAND, "replay", "--machine", "q35-intel", file],
        capture_output=True,
        timeout=120,
        check=False,
        env={**os.environ, "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    )
    assert done.returncode == 1
    assert b"Traceback" not in done.stderr
    assert b"udcff.uapi:1: close c" in done.stdout


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("kvmiommu re", ["replay"]),
        (
            "kvmiommu show q35-",
            ["q35-amd", "q35-amd-7.2", "q35-intel", "q35-intel-7.2", "q35-virtio"],
        ),
        ("kvmiommu replay --machine power", ["powernv9", "powernv9-4k"]),
        ("kvmiommu replay --fail", ["--fail-fast"]),
        ("kvmiommu bench vtd", ["vtdss"]),
    ],
)
def test_a_shell_completes_commands_options_and_machines(words: str, expected: list[str]) -> None:
    done = run(
        env={
            **os.environ,
            "_KVMIOMMU_COMPLETE": "bash_complete",
            "COMP_WORDS": words,
            "COMP_CWORD": str(len(words.split()) - 1),
        }
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert [line.partition(",")[2] for line in done.stdout.splitlines()] == expected


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_shell_is_reported_how_to_complete(shell: str) -> None:
    env = {**os.environ, "_KVMIOMMU_COMPLETE": f"{shell}_source"}
    done = run(env=env)
    assert done.returncode == 0
    assert f"_KVMIOMMU_COMPLETE={shell}_complete" in done.stdout


def test_the_package_does_not_load_click() -> None:
    code = "import sys, kvmiommu, kvmiommu.transcript; print('click' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout == "False\n"


def test_a_worker_that_is_killed_is_reported(tmp_path: Path) -> None:
    code = (
        "import os, signal, sys\n"
        "from kvmiommu.cli import _jobs\n"
        "from kvmiommu.cli._errors import UsageError\n"
        "if __name__ == '__main__':\n"
        "    try:\n"
        "        list(_jobs.in_order(os._exit, [3, 3], 2))\n"
        "    except UsageError as error:\n"
        "        print(error)\n"
    )
    script = tmp_path / "script.py"
    script.write_text(code, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, script], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stdout == "a worker process was killed, and its results are lost\n"
