# SPDX-License-Identifier: MIT
"""The driver before a device of our own, which does what hardware should not."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from edu_model import EduModel
from kvmiommu import Process, System

from edu_driver import DeviceError, Edu

ADDRESS = "0000:00:02.0"


@pytest.fixture
def kvmiommu_models() -> dict[str, type[EduModel]]:
    """What the plugin puts into each test's machine in the place of its own devices."""
    return {ADDRESS: EduModel}


@pytest.fixture
def model(kvmiommu_system: System) -> EduModel:
    model = kvmiommu_system.models[ADDRESS]
    assert isinstance(model, EduModel)
    return model


@pytest.fixture
def edu(kvmiommu_process: Process, model: EduModel) -> Iterator[Edu]:
    with Edu(kvmiommu_process, 1, ADDRESS) as edu:
        yield edu


def test_the_driver_keeps_to_what_the_device_permits(edu: Edu) -> None:
    assert edu.factorial(10) == 3628800
    edu.write(b"twice")
    assert edu.read(5) == b"twice"


def test_a_lost_interrupt_is_a_timeout(edu: Edu, model: EduModel) -> None:
    model.lost_interrupts = 1
    with pytest.raises(TimeoutError, match=r"within 0\.05 s"):
        edu.factorial(3, timeout=0.05)


def test_an_interrupt_for_no_reason_is_an_error(edu: Edu, model: EduModel) -> None:
    model.extra_cause = 0x10
    with pytest.raises(DeviceError, match="0x11"):
        edu.factorial(3)


def test_another_device_is_refused(
    kvmiommu_process: Process, kvmiommu_system: System, model: EduModel
) -> None:
    model.identification = 0xFFFFFFFF
    with pytest.raises(DeviceError, match="0xffffffff"):
        Edu(kvmiommu_process, 1, ADDRESS)
    assert kvmiommu_system.pinned_frames == 0
