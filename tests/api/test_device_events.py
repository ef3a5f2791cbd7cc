# SPDX-License-Identifier: MIT
"""What eventfds set off at a device, and what a model may do while it is called."""

from __future__ import annotations

import errno
import os
import struct
import threading
from collections.abc import Callable, Iterator
from typing import ClassVar

import pytest

from kvmiommu import System, pci, uapi
from kvmiommu.process import Process
from kvmiommu.vfio import Container, Device, Group

v = uapi.vfio
ADDRESS = "0000:00:02.0"
MASTER_AND_MEMORY = 6


class Model(pci.DeviceModel):
    """Writes down its stores and does what the test says at each."""

    bars: ClassVar = {0: pci.Bar(size=4096)}
    msi_vectors = 2

    def __init__(self) -> None:
        super().__init__()
        self.stores: list[tuple[int, int, int]] = []
        self.within = 0
        self.at_store: Callable[[int, int], None] = lambda offset, value: None
        self.at_reset: Callable[[], None] = lambda: None

    def write(self, bar: int, offset: int, size: int, value: int) -> None:
        self.stores.append((offset, size, value))
        self.within += 1
        assert self.within == 1, "a store within a store"
        self.at_store(offset, value)
        self.within -= 1

    def reset(self) -> None:
        self.at_reset()


class Setup:
    def __init__(self, system: System) -> None:
        self.system = system
        self.process: Process = system.process()
        self.container = Container(self.process)
        self.group = Group(self.process, 1)
        self.group.set_container(self.container)
        self.container.set_iommu()
        model = system.models[ADDRESS]
        assert isinstance(model, Model)
        self.model = model

    def open(self) -> Device:
        device = self.group.get_device(ADDRESS)
        device.write(v.VFIO_PCI_CONFIG_REGION_INDEX, 4, struct.pack("<H", MASTER_AND_MEMORY))
        return device

    def eventfd(self) -> int:
        return self.process.eventfd(0, os.O_NONBLOCK)

    def signal(self, fd: int) -> None:
        self.process.write(fd, struct.pack("<Q", 1))

    def count(self, fd: int) -> int:
        try:
            return int(struct.unpack("<Q", self.process.read(fd, 8))[0])
        except BlockingIOError:
            return 0


@pytest.fixture
def setup() -> Iterator[Setup]:
    with System("q35-intel", models={ADDRESS: Model}) as system:
        yield Setup(system)


# --- reactions ---


def test_a_store_that_an_eventfd_makes_is_done_when_the_write_returns(setup: Setup) -> None:
    device = setup.open()
    kick = setup.eventfd()
    device.ioeventfd(0, 0x10, 77, kick)
    setup.signal(kick)
    setup.signal(kick)
    assert setup.model.stores == [(0x10, 4, 77)] * 2
    assert setup.count(kick) == 0


def test_what_was_counted_before_is_a_store_too(setup: Setup) -> None:
    device = setup.open()
    kick = setup.eventfd()
    setup.signal(kick)
    device.ioeventfd(0, 0x10, 77, kick)
    assert setup.model.stores == [(0x10, 4, 77)]


def test_a_chain_of_reactions_ends_before_the_call_does(setup: Setup) -> None:
    device = setup.open()
    kick = setup.eventfd()
    device.msi.set_eventfds([kick])
    device.ioeventfd(0, 0x10, 77, kick)

    def interrupt(offset: int, value: int) -> None:
        if len(setup.model.stores) < 1000:
            setup.model.raise_interrupt(0)

    setup.model.at_store = interrupt
    setup.signal(kick)
    assert len(setup.model.stores) == 1000
    assert setup.count(kick) == 0


def test_two_eventfds_that_feed_each_other_end_with_a_refusal_in_the_trace(setup: Setup) -> None:
    device = setup.open()
    setup.system.keep_trace(16)
    one, other = setup.eventfd(), setup.eventfd()
    device.msi.set_eventfds([one, other])
    device.ioeventfd(0, 0x10, 1, one)
    device.ioeventfd(0, 0x10, 0, other)
    setup.model.at_store = lambda offset, value: setup.model.raise_interrupt(value)
    setup.signal(one)
    (refused,) = [record for record in setup.system.trace() if record.call == "deferred work"]
    assert refused.result == -errno.ELOOP
    assert "without end" in str(refused.refusal)
    assert len(setup.model.stores) == 4097
    # The machine works on.
    setup.model.at_store = lambda offset, value: None
    setup.model.stores.clear()
    setup.signal(one)
    assert setup.model.stores == [(0x10, 4, 1)]


def test_an_interrupt_that_unmasks_itself_ends(setup: Setup) -> None:
    device = setup.open()
    setup.system.keep_trace(16)
    fd = setup.eventfd()
    device.intx.set_eventfds([fd])
    device.intx.unmask(eventfds=[fd])

    def refusals() -> list[int]:
        return [it.result for it in setup.system.trace() if it.call == "deferred work"]

    setup.model.raise_interrupt()
    assert refusals() == [-errno.ELOOP]
    setup.model.lower_interrupt()
    setup.signal(fd)
    assert refusals() == [-errno.ELOOP]


def test_an_interrupt_of_a_thread_of_the_models_own_is_a_call(setup: Setup) -> None:
    device = setup.open()
    kick = setup.eventfd()
    device.msi.set_eventfds([kick])
    device.ioeventfd(0, 0x10, 77, kick)
    seen: list[int] = []

    def raise_and_look() -> None:
        setup.model.raise_interrupt(0)
        seen.append(len(setup.model.stores))

    thread = threading.Thread(target=raise_and_look)
    thread.start()
    thread.join()
    assert seen == [1]


def test_a_store_into_a_mapped_bar_is_a_call(setup: Setup) -> None:
    device = setup.open()
    kick = setup.eventfd()
    device.msi.set_eventfds([kick])
    device.ioeventfd(0, 0x10, 77, kick)

    def interrupt(offset: int, value: int) -> None:
        if offset == 0:
            setup.model.raise_interrupt(0)

    setup.model.at_store = interrupt
    bar = setup.process.mmap(4096, 3, 1, device.fd, 0)
    setup.process.poke(bar, b"\1\0\0\0")
    assert setup.model.stores == [(0, 4, 1), (0x10, 4, 77)]


def test_a_store_of_an_eventfd_is_aligned_to_its_size(setup: Setup) -> None:
    # The kernel takes any position (vfio_pci_rdwr.c: vfio_pci_ioeventfd).
    device = setup.open()
    kick = setup.eventfd()
    device.ioeventfd(0, 0x11, 0x44332211, kick, size=4)
    setup.signal(kick)
    assert setup.model.stores == [(0x11, 1, 0x11), (0x12, 2, 0x3322), (0x14, 1, 0x44)]


def test_a_store_that_waits_is_not_done_once_it_was_taken_away(setup: Setup) -> None:
    device = setup.open()
    kick = setup.eventfd()
    device.ioeventfd(0, 0x10, 77, kick)

    def take_away(offset: int, value: int) -> None:
        setup.signal(kick)
        device.ioeventfd(0, 0x10, 77, None)

    setup.model.at_store = take_away
    device.write(0, 0, struct.pack("<I", 1))
    assert setup.model.stores == [(0, 4, 1)]


def test_a_reaction_may_close_the_device(setup: Setup) -> None:
    device = setup.open()
    kick = setup.eventfd()
    device.ioeventfd(0, 0x10, 77, kick)
    device.ioeventfd(0, 0x10, 78, kick)
    setup.model.at_store = lambda offset, value: device.close()
    setup.signal(kick)
    assert setup.model.stores == [(0x10, 4, 77)]
    setup.signal(kick)
    assert setup.count(kick) == 1


def test_a_read_into_a_buffer_that_cannot_be_takes_nothing(setup: Setup) -> None:
    fd = setup.eventfd()
    setup.signal(fd)
    with pytest.raises(OSError, match="user addresses") as refused:
        setup.process.read(fd, 1 << 45)
    assert refused.value.errno == errno.EFAULT
    assert setup.count(fd) == 1


# --- models that open what is being opened ---


def test_a_model_may_open_its_device_while_it_is_opened(setup: Setup) -> None:
    inner: list[Device] = []

    def open_once() -> None:
        setup.model.at_reset = lambda: None
        inner.append(setup.group.get_device(ADDRESS))

    setup.model.at_reset = open_once
    device = setup.open()
    assert len(inner) == 1
    device.close()
    inner[0].write(0, 0, struct.pack("<I", 5))
    assert setup.model.stores == [(0, 4, 5)]


def test_a_model_may_close_again_what_it_opened_meanwhile(setup: Setup) -> None:
    def open_and_close() -> None:
        setup.model.at_reset = lambda: None
        setup.group.get_device(ADDRESS).close()

    setup.model.at_reset = open_and_close
    setup.open().write(0, 0, struct.pack("<I", 5))
    assert setup.model.stores == [(0, 4, 5)]


def test_a_device_cannot_be_opened_by_the_call_that_closes_it(setup: Setup) -> None:
    device = setup.open()
    refused: list[int | None] = []

    def open_once() -> None:
        setup.model.at_reset = lambda: None
        try:
            setup.group.get_device(ADDRESS)
        except OSError as error:
            refused.append(error.errno)

    setup.model.at_reset = open_once
    device.close()
    assert refused == [errno.EDEADLK]
    setup.open()


def test_an_open_waits_for_another_and_can_be_interrupted(setup: Setup) -> None:
    at_reset, go_on = threading.Event(), threading.Event()

    def wait() -> None:
        setup.model.at_reset = lambda: None
        at_reset.set()
        go_on.wait()

    setup.model.at_reset = wait
    opened: list[Device] = []
    thread = threading.Thread(target=lambda: opened.append(setup.open()))
    thread.start()
    at_reset.wait()
    setup.process.interrupt()
    with pytest.raises(InterruptedError):
        setup.group.get_device(ADDRESS)
    go_on.set()
    thread.join()
    assert len(opened) == 1


def test_an_open_that_waits_for_another_takes_a_timeout(setup: Setup) -> None:
    at_reset, go_on = threading.Event(), threading.Event()

    def wait() -> None:
        setup.model.at_reset = lambda: None
        at_reset.set()
        assert go_on.wait(60)

    setup.model.at_reset = wait
    thread = threading.Thread(target=setup.open)
    thread.start()
    assert at_reset.wait(60)
    name = bytearray(ADDRESS.encode() + b"\0")
    request = v.VFIO_GROUP_GET_DEVICE_FD.number()
    for timeout in (0, 0.01):
        with pytest.raises(TimeoutError) as refused:
            setup.process.ioctl(setup.group.fd, request, name, timeout=timeout)
        assert refused.value.errno == errno.ETIMEDOUT
    go_on.set()
    thread.join()
    assert setup.process.ioctl(setup.group.fd, request, name, timeout=0) >= 0


@pytest.mark.parametrize("timeout", [-1, float("nan")])
def test_a_timeout_of_an_ioctl_is_a_number_of_seconds(setup: Setup, timeout: float) -> None:
    with pytest.raises(ValueError, match="a number of seconds"):
        setup.process.ioctl(setup.group.fd, 0, timeout=timeout)


# --- sets of devices: what one reset takes along ---

BUS_OF_ONE, BUS_OF_TWO = "0000:01:00.0", ("0000:02:01.0", "0000:02:02.0")


class TwoBuses:
    """Two functions behind a bridge in group 3, one behind another in group 8."""

    def __init__(self, system: System) -> None:
        self.process: Process = system.process()
        self.container = Container(self.process)
        self.groups = {number: Group(self.process, number) for number in (3, 8)}
        for group in self.groups.values():
            group.set_container(self.container)
        self.container.set_iommu()
        self.system = system

    def model(self, address: str) -> Model:
        model = self.system.models[address]
        assert isinstance(model, Model)
        return model

    def open(self, address: str) -> Device:
        return self.groups[8 if address == BUS_OF_ONE else 3].get_device(address)

    def hot_reset(self, device: Device, group: int) -> None:
        device.hot_reset([self.groups[group]])


@pytest.fixture
def buses() -> Iterator[TwoBuses]:
    models = dict.fromkeys((BUS_OF_ONE, *BUS_OF_TWO), Model)
    with System("q35-intel", models=models) as system:
        yield TwoBuses(system)


class Held:
    """A reset of a model that ends when the test says."""

    def __init__(self, model: Model) -> None:
        self.model = model
        self.begun, self.go_on = threading.Event(), threading.Event()
        model.at_reset = self

    def __call__(self) -> None:
        self.model.at_reset = lambda: None
        self.begun.set()
        assert self.go_on.wait(60)


def test_a_device_is_not_opened_while_a_hot_reset_of_its_bus_is_under_way(buses: TwoBuses) -> None:
    first = buses.open(BUS_OF_TWO[0])
    resets: list[str] = []
    held = Held(buses.model(BUS_OF_TWO[0]))
    buses.model(BUS_OF_TWO[1]).at_reset = lambda: resets.append("second")
    reset = threading.Thread(target=buses.hot_reset, args=(first, 3))
    reset.start()
    assert held.begun.wait(60)
    name = bytearray(BUS_OF_TWO[1].encode() + b"\0")
    request = v.VFIO_GROUP_GET_DEVICE_FD.number()
    with pytest.raises(TimeoutError):
        buses.process.ioctl(buses.groups[3].fd, request, name, timeout=0)
    # Another bus is another set.
    buses.open(BUS_OF_ONE).close()
    assert resets == []
    held.go_on.set()
    reset.join()
    assert resets == ["second"]
    buses.open(BUS_OF_TWO[1])
    assert resets == ["second", "second"]


def test_a_model_may_open_and_close_the_devices_of_a_bus_that_is_being_reset(
    buses: TwoBuses,
) -> None:
    first = buses.open(BUS_OF_TWO[0])
    model = buses.model(BUS_OF_TWO[1])
    opened: list[int] = []

    def open_and_close() -> None:
        model.at_reset = lambda: None
        for address in BUS_OF_TWO:
            device = buses.open(address)
            opened.append(device.fd)
            device.close()

    model.at_reset = open_and_close
    buses.hot_reset(first, 3)
    assert len(opened) == 2


def test_a_model_does_not_wait_for_another_set_and_leaves_a_close_to_it(buses: TwoBuses) -> None:
    other = buses.open(BUS_OF_TWO[0])
    closed_by: list[str] = []
    held = Held(buses.model(BUS_OF_TWO[0]))
    resetting = threading.Thread(target=buses.hot_reset, args=(other, 3), name="resetting")
    resetting.start()
    assert held.begun.wait(60)
    refused: list[int | None] = []

    def meddle() -> None:
        buses.model(BUS_OF_ONE).at_reset = lambda: None
        buses.model(BUS_OF_TWO[0]).at_reset = lambda: closed_by.append(
            threading.current_thread().name
        )
        try:
            buses.open(BUS_OF_TWO[1])
        except OSError as error:
            refused.append(error.errno)
        other.close()

    buses.model(BUS_OF_ONE).at_reset = meddle
    buses.open(BUS_OF_ONE)
    # The call that resets holds the file of the device, so its close comes with the call's end.
    assert refused == [errno.EDEADLK]
    assert closed_by == []
    held.go_on.set()
    resetting.join()
    assert closed_by == ["resetting"]


def test_a_close_that_is_left_to_another_thread_is_done(buses: TwoBuses) -> None:
    kept, other = buses.open(BUS_OF_TWO[0]), buses.open(BUS_OF_TWO[1])
    closed_by: list[str] = []
    held = Held(buses.model(BUS_OF_TWO[0]))
    resetting = threading.Thread(target=buses.hot_reset, args=(kept, 3), name="resetting")
    resetting.start()
    assert held.begun.wait(60)

    def close() -> None:
        buses.model(BUS_OF_ONE).at_reset = lambda: None
        other.close()

    buses.model(BUS_OF_TWO[1]).at_reset = lambda: closed_by.append(threading.current_thread().name)
    buses.model(BUS_OF_ONE).at_reset = close
    buses.open(BUS_OF_ONE)
    assert closed_by == []
    held.go_on.set()
    resetting.join()
    # By the reset of the bus, and by the close.
    assert closed_by == ["resetting", "resetting"]
    buses.open(BUS_OF_TWO[1])
    assert len(closed_by) == 3


# --- features ---


@pytest.mark.parametrize(
    ("flags", "outcome"),
    [
        (v.VFIO_DEVICE_FEATURE_SET, 0),
        (v.VFIO_DEVICE_FEATURE_GET, errno.EINVAL),
        (0, errno.EINVAL),
        (v.VFIO_DEVICE_FEATURE_PROBE, 0),
        (v.VFIO_DEVICE_FEATURE_PROBE | v.VFIO_DEVICE_FEATURE_SET, 0),
        (v.VFIO_DEVICE_FEATURE_PROBE | v.VFIO_DEVICE_FEATURE_GET, errno.EINVAL),
        (
            v.VFIO_DEVICE_FEATURE_PROBE | v.VFIO_DEVICE_FEATURE_GET | v.VFIO_DEVICE_FEATURE_SET,
            errno.EINVAL,
        ),
    ],
)
@pytest.mark.parametrize(
    "feature", [v.VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY, v.VFIO_DEVICE_FEATURE_LOW_POWER_EXIT]
)
def test_a_feature_has_the_directions_that_it_has(
    setup: Setup, feature: int, flags: int, outcome: int
) -> None:
    device = setup.open()
    block = bytearray(struct.pack("<II", 8, feature | flags))
    if outcome == 0:
        device.ioctl(v.VFIO_DEVICE_FEATURE, block)
        return
    with pytest.raises(OSError, match="flags") as refused:
        device.ioctl(v.VFIO_DEVICE_FEATURE, block)
    assert refused.value.errno == outcome


def test_a_feature_that_is_probed_is_not_done(setup: Setup) -> None:
    device = setup.open()
    assert device.feature_probe(v.VFIO_DEVICE_FEATURE_LOW_POWER_ENTRY, set=True)
    device.low_power_entry()
    with pytest.raises(OSError, match="already") as refused:
        device.low_power_entry()
    assert refused.value.errno == errno.EINVAL
