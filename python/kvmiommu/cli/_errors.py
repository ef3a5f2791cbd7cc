# SPDX-License-Identifier: MIT
"""The one error that a command ends in when it cannot be carried out."""

from __future__ import annotations

__all__ = ["UsageError"]


class UsageError(Exception):
    """What was wrong, where, and what was expected: one message for a person, exit status 2."""
