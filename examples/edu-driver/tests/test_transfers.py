# SPDX-License-Identifier: MIT
"""Hypothesis looks for calls after which the device's buffer differs from one of Python's."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from kvmiommu import System

from edu_driver import Edu

SIZE = 4096


class Transfers(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.system = System("q35-intel")
        self.edu = Edu(self.system.process(), 1, "0000:00:02.0")
        self.expected = bytearray(SIZE)

    @rule(offset=st.integers(0, SIZE - 1), data=st.binary(max_size=64))
    def write(self, offset: int, data: bytes) -> None:
        data = data[: SIZE - offset]
        self.edu.write(data, offset)
        self.expected[offset : offset + len(data)] = data

    @rule(offset=st.integers(0, SIZE), length=st.integers(0, SIZE))
    def read(self, offset: int, length: int) -> None:
        length = min(length, SIZE - offset)
        assert self.edu.read(length, offset) == self.expected[offset : offset + length]

    @rule(number=st.integers(0, 12))
    def factorial_in_between(self, number: int) -> None:
        assert self.edu.factorial(number) >= 1

    @invariant()
    def the_device_stays_within_its_memory(self) -> None:
        assert self.system.dma_faults() == []

    def teardown(self) -> None:
        self.edu.close()
        pinned = self.system.pinned_frames
        self.system.close()
        assert pinned == 0


TestTransfers = Transfers.TestCase
TestTransfers.settings = settings(TestTransfers.settings, stateful_step_count=20)
