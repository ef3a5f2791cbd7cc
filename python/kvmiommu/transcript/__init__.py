# SPDX-License-Identifier: MIT
"""Transcripts: programs of system calls with the answers of a real kernel, and their player."""

from __future__ import annotations

from .needs import unmet_needs
from .player import (
    Difference,
    FileResult,
    Outcome,
    Player,
    Process,
    Symbols,
    System,
    buffer_alignment,
    check_constants,
    play,
    replay,
    symbols_of,
)
from .possible import check_answers
from .rewriting import rewritten
from .syntax import Place, Step, Transcript, TranscriptError, parse, parse_bytes, parse_file

__all__ = [
    "Difference",
    "FileResult",
    "Outcome",
    "Place",
    "Player",
    "Process",
    "Step",
    "Symbols",
    "System",
    "Transcript",
    "TranscriptError",
    "buffer_alignment",
    "check_answers",
    "check_constants",
    "parse",
    "parse_bytes",
    "parse_file",
    "play",
    "replay",
    "rewritten",
    "symbols_of",
    "unmet_needs",
]
