# SPDX-License-Identifier: MIT
"""Interrupts of a device: eventfds, loop-back triggers, masks."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator

import pytest

from kvmiommu import System
from kvmiommu.uapi import vfio as v
from recorded import recorded, result
from vfio_scene import E1000E, EDU, Scene, scene

RAISE, ACKNOWLEDGE = 0x60, 0x64  # registers of edu


@pytest.fixture
def running() -> Iterator[Scene]:
    with scene(1, 8) as running:
        yield running


def refused(error: int) -> pytest.RaisesExc[OSError]:
    return pytest.raises(OSError, check=lambda found: found.errno == error)


def test_every_index_has_the_interrupts_of_the_transcript(running: Scene) -> None:
    device = running.open(E1000E)
    found = [
        (int(info.flags), int(info.count)) for info in (device.irq(i).get_info() for i in range(5))
    ]
    assert found == [(7, 1), (9, 1), (1, 5), (9, 1), (9, 1)]
    kinds = (device.intx, device.msi, device.msix, device.err, device.req)
    assert [irq.index for irq in kinds] == list(range(5))
    with refused(errno.EINVAL):
        device.irq(5).get_info()


def test_the_calls_of_the_transcript_come_to_the_same(running: Scene) -> None:
    device = running.open(E1000E)
    irq, first, second = (running.eventfd() for _ in range(3))
    calls: list[Callable[[], None]] = [
        lambda: device.msi.set_eventfds([irq]),
        device.msi.trigger,
        device.msi.disable,
        lambda: device.irq(9).trigger(),
        lambda: device.msix.set_eventfds([first, second]),
        lambda: device.msix.trigger(1),
        lambda: device.msix.trigger(bools=[True, False]),
        lambda: device.intx.set_eventfds([first]),
        lambda: device.msix.set_eventfds([None], 4),
        lambda: device.msix.set_eventfds([first], 5),
        device.msix.disable,
        device.msix.mask,
    ]
    # The last one has two kinds of data at once, which no method does.
    expected = recorded("q35-intel/device-info-e1000e.uapi", "VFIO_DEVICE_SET_IRQS")[:-1]
    assert [result(call) for call in calls] == expected
    assert [running.count(fd) for fd in (irq, first, second)] == [1, 1, 1]


def test_a_range_of_vectors_is_triggered(running: Scene) -> None:
    device = running.open(E1000E)
    fds = [running.eventfd() for _ in range(5)]
    device.msix.set_eventfds(fds)
    device.msix.trigger(1, 3)
    device.msix.trigger(2, bools=[True, False, True])
    assert [running.count(fd) for fd in fds] == [0, 1, 2, 1, 1]
    device.msix.set_eventfds([None, fds[0]], 1)
    device.msix.trigger(0, 5)
    assert [running.count(fd) for fd in fds] == [2, 0, 0, 1, 1]
    with refused(errno.EINVAL):
        device.msix.trigger(1, 5)


def test_intx_is_masked_and_unmasked(running: Scene) -> None:
    device = running.open(EDU)
    irq = running.eventfd()
    with refused(errno.EINVAL):
        device.intx.mask()  # not enabled
    device.intx.set_eventfds([irq])
    device.intx.mask()
    device.region(0).write(RAISE, b"\1\0\0\0")
    assert running.count(irq) == 0
    device.intx.unmask(bools=[False])
    assert running.count(irq) == 0
    device.intx.unmask(bools=[True])
    assert running.count(irq) == 1
    device.region(0).write(ACKNOWLEDGE, b"\1\0\0\0")
    device.intx.unmask()
    assert running.count(irq) == 0
    device.intx.mask(bools=[True])
    device.region(0).write(RAISE, b"\1\0\0\0")
    assert running.count(irq) == 0


def test_intx_is_unmasked_by_an_eventfd(running: Scene) -> None:
    device = running.open(EDU)
    irq, served = running.eventfd(), running.eventfd()
    device.intx.set_eventfds([irq])
    with refused(errno.ENOTTY):
        device.intx.mask(eventfds=[served])
    device.intx.unmask(eventfds=[served])
    with refused(errno.EBUSY):
        device.intx.unmask(eventfds=[running.eventfd()])
    device.region(0).write(RAISE, b"\1\0\0\0")
    assert running.count(irq) == 1
    running.signal(served)
    assert running.count(irq) == 1  # still asserted
    device.intx.unmask(eventfds=[None])
    running.signal(served)
    assert running.count(irq) == 0


def test_errors_and_requests_are_triggered(running: Scene) -> None:
    device = running.open(E1000E)
    for irq in (device.err, device.req):
        eventfd = running.eventfd()
        with refused(errno.EINVAL):
            irq.trigger()  # nobody listens
        irq.set_eventfds([eventfd])
        irq.trigger()
        irq.trigger(bools=[False])
        assert running.count(eventfd) == 1
        irq.disable()
        with refused(errno.EINVAL):
            irq.trigger()
        with refused(errno.ENOTTY):
            irq.mask()
    with refused(errno.EINVAL):
        running.open(EDU).err.get_info()  # not PCI Express


def test_no_eventfds_at_all_are_not_the_same_as_to_disable(running: Scene) -> None:
    device = running.open(E1000E)
    device.msix.set_eventfds([running.eventfd()])
    device.msix.set_eventfds([])  # sets none, keeps the others
    device.msix.trigger()
    device.set_irqs(v.VFIO_PCI_MSIX_IRQ_INDEX, 0, [])
    with refused(errno.EINVAL):
        device.msix.trigger()


def test_arguments_that_do_not_fit_are_named(running: Scene) -> None:
    device = running.open(E1000E)
    with pytest.raises(OverflowError, match="start"):
        device.msix.trigger(1 << 32)
    with pytest.raises(OverflowError, match="count"):
        device.msix.trigger(0, -1)
    with pytest.raises(OverflowError, match="index"):
        device.irq(-1).get_info()
    with pytest.raises(OverflowError, match="bools"):
        device.msix.trigger(bools=[256])  # type: ignore[list-item]
    with pytest.raises(TypeError, match="one kind of data"):
        device.intx.unmask(bools=[True], eventfds=[None])


def test_an_object_of_another_system_is_no_eventfd(running: Scene) -> None:
    device = running.open(E1000E)
    with System("q35-intel") as other:
        stranger = Scene(other, 8)
        with pytest.raises(ValueError, match=r"eventfds is .* of another process"):
            device.msix.set_eventfds([stranger.container])
