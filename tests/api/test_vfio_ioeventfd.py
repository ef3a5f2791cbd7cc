# SPDX-License-Identifier: MIT
"""Stores into a BAR that an eventfd makes."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from typing import ClassVar

import pytest

from kvmiommu import System, pci
from kvmiommu.vfio import Device
from vfio_scene import EDU, Scene


class Stores(pci.DeviceModel):
    """Writes down its stores: offset, size, value."""

    bars: ClassVar = {0: pci.Bar(size=4096), 2: pci.Bar(size=4096)}

    def __init__(self) -> None:
        super().__init__()
        self.stores: list[tuple[int, int, int, int]] = []

    def write(self, bar: int, offset: int, size: int, value: int) -> None:
        self.stores.append((bar, offset, size, value))


@pytest.fixture
def running() -> Iterator[Scene]:
    with System("q35-intel", models={EDU: Stores}) as system:
        yield Scene(system, 1)


@pytest.fixture
def device(running: Scene) -> Device:
    return running.open(EDU)


def refused(error: int) -> pytest.RaisesExc[OSError]:
    return pytest.raises(OSError, check=lambda found: found.errno == error)


def stores(running: Scene) -> list[tuple[int, int, int, int]]:
    model = running.system.models[EDU]
    assert isinstance(model, Stores)
    return model.stores


@pytest.mark.parametrize("size", [1, 2, 4, 8])
def test_a_signal_stores_as_many_bytes_as_were_asked(
    running: Scene, device: Device, size: int
) -> None:
    kick = running.eventfd()
    device.ioeventfd(2, 0x10, 0x8877665544332211, kick, size=size)
    assert stores(running) == []
    running.signal(kick)
    assert stores(running) == [(2, 0x10, size, 0x8877665544332211 % (1 << 8 * size))]


def test_none_takes_away_what_was_given_for_the_same_store(running: Scene, device: Device) -> None:
    kick = running.eventfd()
    bar = device.region(0)
    bar.ioeventfd(0x10, 7, kick)
    with refused(errno.EEXIST):
        bar.ioeventfd(0x10, 7, kick)
    bar.ioeventfd(0x10, 8, kick)  # another value is another store
    bar.ioeventfd(0x10, 7, None)
    with refused(errno.ENODEV):
        bar.ioeventfd(0x10, 7, None)
    running.signal(kick)
    assert stores(running) == [(0, 0x10, 4, 8)]


def test_what_the_kernel_refuses(running: Scene, device: Device) -> None:
    kick = running.eventfd()
    for size in (0, 3, 16):
        with refused(errno.EINVAL):
            device.ioeventfd(0, 0, 1, kick, size=size)
    with refused(errno.EINVAL):
        device.ioeventfd(0, 4093, 1, kick)  # past the end
    with refused(errno.EINVAL):
        device.ioeventfd(1, 0, 1, kick)  # no such BAR
    with refused(errno.EBADF):
        device.ioeventfd(0, 0, 1, 99)
    with refused(errno.EINVAL):
        device.ioeventfd(0, 0, 1, running.container)


def test_a_value_of_more_than_64_bits_does_not_reach_the_kernel(
    running: Scene, device: Device
) -> None:
    for value in (1 << 64, -1):
        with pytest.raises(OverflowError, match="data"):
            device.ioeventfd(0, 0, value, running.eventfd())
