# SPDX-License-Identifier: MIT
"""The command `kvmiommu`."""

from __future__ import annotations

import difflib
import os
from collections.abc import Sequence
from importlib import metadata

import click
from click.shell_completion import get_completion_class

from . import bench, diff, machines, replay
from ._errors import InterruptedByUser, OutputError, UsageError
from ._terminal import abandon_stdout, complain, flush, set_up

__all__ = ["UsageError", "main"]

_EPILOG = """\
\b
Examples:
  kvmiommu machines                            which machines there are
  kvmiommu replay transcripts/q35-intel        each transcript of a folder, on the machine q35-intel
  kvmiommu replay --machine my.toml one.uapi   one transcript, on a machine of your own
  kvmiommu check my.toml                       what is wrong with that machine's description
  kvmiommu diff q35-intel q35-amd one.uapi     which calls return something else on one
  kvmiommu bench                               what map and unmap cost on this processor
\b
Completion of commands, options and machines, in a shell's start-up file:
  eval "$(_KVMIOMMU_COMPLETE=bash_source kvmiommu)"     or zsh_source
  _KVMIOMMU_COMPLETE=fish_source kvmiommu | source
\b
Exit status: 0 all is well, 1 something differs or is wrong with what was checked, 2 the command
could not be carried out, 130 it was interrupted.
"""


# What click takes the wish for completion from.
_COMPLETE = "_KVMIOMMU_COMPLETE"


class _Commands(click.Group):
    """The commands. The error for an unknown name has the one that was probably meant."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        if self.get_command(ctx, name) is None and not name.startswith("-"):
            known = self.list_commands(ctx)
            near = difflib.get_close_matches(name, known, n=1)
            meant = f"did you mean '{near[0]}'?" if near else f"expected one of {', '.join(known)}"
            ctx.fail(f"no such command: '{name}'; {meant}")
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            raise InterruptedByUser from None  # click would write an empty line


def _version() -> str:
    try:
        return metadata.version("kvmiommu")
    except metadata.PackageNotFoundError:
        return "unknown (not installed)"


@click.group(
    cls=_Commands,
    epilog=_EPILOG,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    no_args_is_help=False,
)
@click.version_option(_version(), prog_name="kvmiommu", message="%(prog)s %(version)s")
def _kvmiommu() -> None:
    """A small Linux kernel in user space. It answers the KVM, VFIO and IOMMU interfaces as the real
    kernel does, without an IOMMU, without root and without a lab machine.
    """


for _command in (
    machines.machines,
    machines.show,
    machines.check,
    replay.command,
    diff.command,
    bench.command,
):
    _kvmiommu.add_command(_command)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line `argv` (default: the program's own) and returns the exit status."""
    set_up()
    try:
        status = _run(argv)
        flush()
    except click.UsageError as error:
        complain(f"kvmiommu: {_message(error)}")
        where = error.ctx.command_path if error.ctx else "kvmiommu"
        usage = " COMMAND" if where == "kvmiommu" else ""
        complain(f"usage: {where}{usage} [OPTIONS] …; '{where} --help' says more")
    except click.ClickException as error:
        complain(f"kvmiommu: {_message(error)}")
    except UsageError as error:
        for message in error.messages:
            complain(f"kvmiommu: {message}")
    except (OutputError, OSError) as error:
        abandon_stdout()
        why = error.strerror if isinstance(error, OSError) else error
        complain(f"kvmiommu: standard output cannot be written: {why}")
    except MemoryError:
        complain("kvmiommu: there is not enough memory")
    except (InterruptedByUser, click.Abort, KeyboardInterrupt):
        abandon_stdout()
        complain("kvmiommu: interrupted")
        return 130
    else:
        return status
    return 2


def _run(argv: Sequence[str] | None) -> int:
    if (wanted := os.environ.get(_COMPLETE)) is not None and not _can_complete(wanted):
        raise UsageError(
            f"{_COMPLETE} is '{wanted}'; expected bash_source, zsh_source or fish_source"
        )
    try:
        status = _kvmiommu.main(
            None if argv is None else list(argv), prog_name="kvmiommu", standalone_mode=False
        )
    except SystemExit as stop:
        # Completion has written its answer; for anything else nobody reads what was written.
        if stop.code in (0, None):
            return 0
        raise OutputError("Broken pipe") from None
    return status if isinstance(status, int) else 0


def _can_complete(wanted: str) -> bool:
    shell, _, task = wanted.partition("_")
    asked = {"COMP_WORDS", "COMP_CWORD"} <= os.environ.keys()
    return get_completion_class(shell) is not None and (
        task == "source" or (task == "complete" and asked)
    )


def _message(error: click.ClickException) -> str:
    """The message as all of ours are: on one line, without a capital and a full stop."""
    text = " ".join(error.format_message().split()).rstrip(".")
    return text[:1].lower() + text[1:]
