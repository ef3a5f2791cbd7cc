# SPDX-License-Identifier: MIT
"""Chains of capabilities behind what VFIO's information requests write.

Each begins with `struct vfio_info_cap_header`, whose `next` counts from the start of the block;
0 ends the chain (include/uapi/linux/vfio.h).
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from typing import NamedTuple

from .. import uapi

__all__ = ["Capability", "chain"]

_v = uapi.vfio


class Capability(NamedTuple):
    """One link: its id and version, and its bytes, the header's included."""

    id: int
    version: int
    data: bytes


def chain(block: bytes | bytearray, at: int) -> Iterator[Capability]:
    """The capabilities of a block whose chain begins at `at`, 0 for none."""
    while at and at + ctypes.sizeof(_v.vfio_info_cap_header) <= len(block):
        header = _v.vfio_info_cap_header.from_buffer_copy(block, at)
        following = int(header.next)
        yield Capability(
            int(header.id), int(header.version), bytes(block[at : following or len(block)])
        )
        at = following
