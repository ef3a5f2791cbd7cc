# SPDX-License-Identifier: MIT
"""What can go wrong besides a refused call, which is an `OSError`."""

from __future__ import annotations

__all__ = ["LeakError", "MemoryFault"]


class MemoryFault(Exception):  # noqa: N818 - a fault is what the hardware calls it
    """A load or store of the process that would end in a signal.

    `signal` is its name: "SIGSEGV" where nothing is mapped or the protection forbids it, "SIGBUS"
    where a mapping shows a file past its end.
    """

    def __init__(self, signal: str, address: int, length: int) -> None:
        self.signal = signal
        self.address = address
        self.length = length
        super().__init__(f"{signal}: the process cannot reach all {length} bytes at {address:#x}")


class LeakError(Exception):
    """A system was closed and something is still referenced: a fault of the emulator.

    `alive` has a line for each object: its kind and its references.
    """

    def __init__(self, system: str, alive: list[str]) -> None:
        self.alive = alive
        lines = "\n  ".join(alive)
        super().__init__(f"{system}: still alive after every process exited:\n  {lines}")
