# SPDX-License-Identifier: MIT
"""What a transcript was recorded with and no machine here has: it cannot be played, yet.

Each need can be checked against the transcript: a node that the kernel was seen to open, or a word.
"""

from __future__ import annotations

from collections.abc import Iterator

from .calls import Call, Child, Open
from .syntax import Transcript

__all__ = ["unmet_needs"]

_IOMMUFD = "/dev/iommu"
_DEVICE_NODES = "/dev/vfio/devices/"


def unmet_needs(transcript: Transcript) -> tuple[str, ...]:
    """What the transcript needs and no emulated machine has; empty for one that can be played.

    That is `/dev/iommu` or a node of `/dev/vfio/devices` that was opened, and the word `child`. A
    node whose open() failed is no need: that failure can be compared.
    """
    found: dict[str, None] = {}
    for step in transcript.steps:
        found.update(dict.fromkeys(_needs(step.call, step.answer.result)))
    return tuple(found)


def _needs(call: Call, result: str) -> Iterator[str]:
    match call:
        case Child(inner):
            yield "child"
            yield from _needs(inner, result)
        case Open(path=path) if result == "ok":
            if path == _IOMMUFD:
                yield path
            elif path.startswith(_DEVICE_NODES):
                yield _DEVICE_NODES.rstrip("/")
