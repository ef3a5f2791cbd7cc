# SPDX-License-Identifier: MIT
"""VFIO_DEVICE_FEATURE: probing, getting and setting; low power."""

from __future__ import annotations

import errno
import struct
from collections.abc import Iterator

import pytest

from kvmiommu.uapi import vfio as v
from kvmiommu.vfio import Device
from recorded import recorded
from vfio_scene import E1000E, Scene, scene

LOW_POWER = (
    v.VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY,
    v.VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY_WITH_WAKEUP,
    v.VFIO_DEVICE_FEATURE_LOW_POWER_EXIT,
)


@pytest.fixture
def running() -> Iterator[Scene]:
    with scene(8) as running:
        yield running


@pytest.fixture
def device(running: Scene) -> Device:
    return running.open(E1000E)


def refused(error: int) -> pytest.RaisesExc[OSError]:
    return pytest.raises(OSError, check=lambda found: found.errno == error)


def test_a_device_has_no_migration_as_in_the_transcript(device: Device) -> None:
    assert recorded("q35-intel/device-info-e1000e.uapi", "VFIO_DEVICE_FEATURE") == ["-ENOTTY"]
    assert not device.feature_probe(v.VFIO_DEVICE_FEATURE_MIGRATION, get=True)
    with refused(errno.ENOTTY):
        device.feature_get(v.VFIO_DEVICE_FEATURE_MIGRATION, 8)
    with refused(errno.ENOTTY):
        device.feature_set(v.VFIO_DEVICE_FEATURE_PCI_VF_TOKEN, bytes(16))


@pytest.mark.parametrize("feature", range(v.VFIO_DEVICE_FEATURE_BUS_MASTER + 2))
def test_low_power_can_be_set_and_nothing_else_is_there(device: Device, feature: int) -> None:
    """As Linux 7.2 was seen to answer for each number."""
    there = feature in LOW_POWER
    assert device.feature_probe(feature) == there
    assert device.feature_probe(feature, set=True) == there
    assert not device.feature_probe(feature, get=True)
    assert not device.feature_probe(feature, get=True, set=True)


def test_a_device_enters_low_power_once(device: Device) -> None:
    device.low_power_exit()  # no error
    device.low_power_entry()
    with refused(errno.EINVAL):
        device.low_power_entry()
    device.low_power_exit()
    device.low_power_entry()


def test_low_power_with_an_eventfd(running: Scene, device: Device) -> None:
    with refused(errno.EBADF):
        device.low_power_entry(99)
    with refused(errno.EINVAL):
        device.low_power_entry(running.container)
    device.low_power_entry(running.eventfd())
    with refused(errno.EINVAL):
        device.low_power_entry(running.eventfd())


def test_data_that_is_too_short_is_refused(running: Scene, device: Device) -> None:
    entry = v.VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY_WITH_WAKEUP
    with refused(errno.EINVAL):
        device.feature_set(entry, bytes(4))
    device.feature_set(entry, struct.pack("<ii", running.eventfd(), 0))


def test_a_feature_has_16_bits(device: Device) -> None:
    for feature in (1 << 16, -1):
        with pytest.raises(OverflowError, match="feature"):
            device.feature_probe(feature)


def test_a_probe_of_a_device_whose_number_is_closed_is_an_error(device: Device) -> None:
    device.process.close(device.fd)
    with refused(errno.EBADF):
        device.feature_probe(v.VFIO_DEVICE_FEATURE_MIGRATION)
