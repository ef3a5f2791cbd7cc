# SPDX-License-Identifier: MIT
"""`Linux` makes true system calls: those that need no device work here as well."""

from __future__ import annotations

import errno
import os
from mmap import MAP_ANONYMOUS, MAP_PRIVATE, PROT_READ, PROT_WRITE

import pytest

from edu_driver import Linux


def test_an_eventfd_is_waited_for() -> None:
    linux = Linux()
    event = linux.eventfd(0, os.EFD_CLOEXEC)
    assert not linux.wait(event, 0.01)
    os.eventfd_write(event, 1)
    assert linux.wait(event, None)
    assert linux.read(event, 8) == (1).to_bytes(8, "little")
    linux.close(event)


@pytest.mark.parametrize("data", [b"4 by", b"8 bytes.", b"three"])
def test_memory_holds_what_is_stored(data: bytes) -> None:
    linux = Linux()
    address = linux.mmap(0x1000, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
    linux.poke(address + 8, data)
    assert linux.peek(address + 8, len(data)) == data
    linux.munmap(address, 0x1000)


def test_a_refused_call_is_an_oserror() -> None:
    linux = Linux()
    with pytest.raises(OSError) as refusal:
        linux.mmap(0, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
    assert refusal.value.errno == errno.EINVAL
    with pytest.raises(OSError) as refusal:
        linux.munmap(1, 0x1000)
    assert refusal.value.errno == errno.EINVAL
