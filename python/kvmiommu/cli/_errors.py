# SPDX-License-Identifier: MIT
"""The errors that a command ends in when it cannot be carried out: exit status 2."""

from __future__ import annotations

__all__ = ["InterruptedByUser", "OutputError", "UsageError"]


class UsageError(Exception):
    """What was wrong, where, and what was expected: messages for a person, a line each."""

    def __init__(self, *messages: str) -> None:
        self.messages = messages
        super().__init__("\n".join(messages))


class InterruptedByUser(Exception):  # noqa: N818 - it is no error
    """A command was interrupted from the keyboard."""


class OutputError(Exception):
    """Standard output does not take what was written to it."""
