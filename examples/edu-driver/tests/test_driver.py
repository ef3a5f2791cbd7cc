# SPDX-License-Identifier: MIT
"""The driver on the emulated machine "q35-intel", which has an edu device in group 1."""

from __future__ import annotations

import errno
import math
from collections.abc import Iterator

import pytest
from kvmiommu import Process, System

from edu_driver import DeviceError, Edu

GROUP, ADDRESS = 1, "0000:00:02.0"


@pytest.fixture
def edu(kvmiommu_process: Process) -> Iterator[Edu]:
    with Edu(kvmiommu_process, GROUP, ADDRESS) as edu:
        yield edu


@pytest.mark.parametrize("number", [0, 1, 5, 12])
def test_the_factorial_arrives_with_an_interrupt(edu: Edu, number: int) -> None:
    assert edu.factorial(number) == math.factorial(number)


def test_what_was_written_is_read_back(edu: Edu) -> None:
    edu.write(b"from memory", offset=100)
    assert edu.read(13, offset=99) == b"\0from memory\0"


def test_a_range_outside_the_buffer_is_refused_by_the_driver(edu: Edu) -> None:
    with pytest.raises(ValueError, match="2 bytes at 4095"):
        edu.write(b"ab", offset=4095)
    with pytest.raises(ValueError, match="-1"):
        edu.read(-1)


def test_the_device_reaches_nothing_but_its_buffer(edu: Edu, kvmiommu_system: System) -> None:
    edu.write(b"x" * 4096)
    edu.read(4096)
    assert kvmiommu_system.dma_faults() == []


def test_nothing_stays_pinned(kvmiommu_process: Process, kvmiommu_system: System) -> None:
    with Edu(kvmiommu_process, GROUP, ADDRESS):
        assert kvmiommu_system.pinned_frames == 16
    assert kvmiommu_system.pinned_frames == 0
    assert kvmiommu_process.status("VmLck") == 0


def test_a_second_driver_of_the_group_is_refused(edu: Edu, kvmiommu_process: Process) -> None:
    with pytest.raises(OSError) as refusal:
        Edu(kvmiommu_process, GROUP, ADDRESS)
    assert refusal.value.errno == errno.EBUSY
    assert edu.factorial(3) == 6


def test_a_user_who_may_not_open_the_group_is_refused(
    kvmiommu_system: System, kvmiommu_process: Process
) -> None:
    kvmiommu_process.setresuid(1000, 1000, 1000)
    with pytest.raises(PermissionError):
        Edu(kvmiommu_process, GROUP, ADDRESS)
    assert kvmiommu_system.pinned_frames == 0


def test_another_device_is_refused(kvmiommu_process: Process) -> None:
    with pytest.raises(DeviceError, match="is no edu"):
        Edu(kvmiommu_process, 4, "0000:00:05.0")


@pytest.mark.kvmiommu_fail_nth
def test_whichever_allocation_of_the_kernel_fails_nothing_stays_pinned(
    kvmiommu_process: Process, kvmiommu_system: System
) -> None:
    try:
        with Edu(kvmiommu_process, GROUP, ADDRESS) as edu:
            edu.write(b"some bytes")
    finally:
        assert kvmiommu_system.pinned_frames == 0
