# SPDX-License-Identifier: MIT
"""A reset of a device's bus, and what it takes along."""

from __future__ import annotations

import errno
import struct
from collections.abc import Iterator

import pytest

from kvmiommu import System, uapi
from kvmiommu.vfio import DependentDevice, HotResetInfo
from recorded import recorded
from vfio_scene import BEHIND_BRIDGE, E1000E, EDU, Scene, scene


@pytest.fixture
def bridge() -> Iterator[Scene]:
    with scene(1, 3, 8) as running:
        yield running


def refused(error: int) -> pytest.RaisesExc[OSError]:
    return pytest.raises(OSError, check=lambda found: found.errno == error)


def test_the_info_is_that_of_the_transcript(bridge: Scene) -> None:
    results = recorded("q35-intel/device-info-e1000e.uapi", "VFIO_DEVICE_GET_PCI_HOT_RESET_INFO")
    assert results == ["-ENOSPC", "0"]  # which are both within one call of the method
    info = bridge.open(E1000E).hot_reset_info()
    assert info == HotResetInfo(0, (DependentDevice(group=8, segment=0, bus=1, devfn=0),))
    assert info.devices[0].name == E1000E


def test_the_info_names_all_functions_of_the_bus(bridge: Scene) -> None:
    info = bridge.open(BEHIND_BRIDGE[0]).hot_reset_info()
    assert tuple(device.name for device in info.devices) == BEHIND_BRIDGE
    assert info.groups == {3}


def test_a_hot_reset_resets_what_shares_the_bus(bridge: Scene) -> None:
    first, second = (bridge.open(name) for name in BEHIND_BRIDGE)
    first.region(0).write(0x04, struct.pack("<I", 0x12345678))
    assert first.region(0).read(0x04, 4) == struct.pack("<I", 0x12345678 ^ 0xFFFFFFFF)
    second.hot_reset([bridge.groups[3]])
    config = first.region(uapi.vfio.VFIO_PCI_CONFIG_REGION_INDEX)
    config.write(4, struct.pack("<H", 2))
    assert first.region(0).read(0x04, 4) == bytes(4)


def test_what_a_hot_reset_refuses(bridge: Scene) -> None:
    device = bridge.open(BEHIND_BRIDGE[0])
    with refused(errno.EINVAL):
        device.hot_reset([])
    with refused(errno.EINVAL):
        device.hot_reset([bridge.groups[8]])  # not the group of the functions
    with refused(errno.EINVAL):
        device.hot_reset([bridge.container])
    with refused(errno.EINVAL):
        device.hot_reset([bridge.groups[3]] * 3)  # for two functions
    with refused(errno.EBADF):
        device.hot_reset([99])
    device.hot_reset([bridge.groups[8].fd, bridge.groups[3]])


def test_nothing_resets_the_root_bus(bridge: Scene) -> None:
    device = bridge.open(EDU)
    with refused(errno.ENODEV):
        device.hot_reset_info()
    with refused(errno.ENODEV):
        device.hot_reset([bridge.groups[1]])


def test_a_group_of_another_process_does_not_reach_the_kernel(bridge: Scene) -> None:
    device = bridge.open(BEHIND_BRIDGE[0])
    with System("q35-intel") as other:
        stranger = Scene(other, 3)
        with pytest.raises(ValueError, match=r"groups is .* of another process"):
            device.hot_reset([stranger.groups[3]])
