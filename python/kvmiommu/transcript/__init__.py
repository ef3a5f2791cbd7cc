# SPDX-License-Identifier: MIT
"""Transcripts: programs of system calls with the answers of a real kernel, and their player."""

from __future__ import annotations

from .player import (
    Difference,
    FileResult,
    Outcome,
    Player,
    Process,
    Symbols,
    System,
    check_constants,
    replay,
    symbols_of,
)
from .syntax import Step, Transcript, TranscriptError, parse, parse_file

__all__ = [
    "Difference",
    "FileResult",
    "Outcome",
    "Player",
    "Process",
    "Step",
    "Symbols",
    "System",
    "Transcript",
    "TranscriptError",
    "check_constants",
    "parse",
    "parse_file",
    "replay",
    "symbols_of",
]
