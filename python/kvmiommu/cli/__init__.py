# SPDX-License-Identifier: MIT
"""The command `kvmiommu`."""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
from collections.abc import Sequence
from importlib import metadata

from . import replay
from ._errors import UsageError

__all__ = ["UsageError", "main"]

_DESCRIPTION = """\
A small Linux kernel in user space. It answers the KVM, VFIO and IOMMU interfaces as the real
kernel does, without an IOMMU, without root and without a lab machine.
"""

_EXAMPLES = """\
examples:
  kvmiommu replay transcripts/q35-intel        each transcript of a folder, on the machine q35-intel
  kvmiommu replay --machine my.toml one.uapi   one transcript, on a machine of your own
  kvmiommu replay --help                       more about transcripts

exit status: 0 all is well, 1 something differs, 2 the command could not be carried out
"""


def _version() -> str:
    try:
        return metadata.version("kvmiommu")
    except metadata.PackageNotFoundError:
        return "unknown (not installed)"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="kvmiommu",
        description=_DESCRIPTION,
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"kvmiommu {_version()}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    replay.add_to(commands)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line `argv` (default: the program's own) and returns the exit status."""
    try:
        arguments = _parser().parse_args(argv)
    except SystemExit as stop:  # argparse has printed its help or its complaint
        return stop.code if isinstance(stop.code, int) else 2
    try:
        status: int = arguments.run(arguments)
        sys.stdout.flush()
    except UsageError as error:
        print(f"kvmiommu: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:
        _leave_stdout()
        return 1
    except KeyboardInterrupt:
        return 130
    return status


def _leave_stdout() -> None:
    """Whoever read our output has gone; the interpreter must not try to flush the rest to them."""
    with contextlib.suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
