# SPDX-License-Identifier: MIT
"""Containers, groups and devices: who holds what, and what is refused because of it."""

from __future__ import annotations

import errno
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, ClassVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule

from kvmiommu import Process, System
from kvmiommu.machine import Machine
from kvmiommu.testing.strategies._arguments import at_least
from kvmiommu.vfio import Container, Group

from ._refused import compare

__all__ = ["ContainerMachine"]


@dataclass(eq=False)
class _Container:
    """Lives while its descriptor is open or a group is in it."""

    number: int
    handle: Any
    driver: bool = False
    groups: set[int] = field(default_factory=set)

    def __repr__(self) -> str:
        return f"container {self.number}"


@dataclass(eq=False)
class _Group:
    """Held by its descriptor and by those of its devices; leaves its container with the last."""

    number: int
    handle: Any
    open: bool = True
    container: _Container | None = None
    devices: int = 0

    def __repr__(self) -> str:
        return f"group {self.number}"


@dataclass(eq=False)
class _Device:
    name: str
    handle: Any
    group: _Group

    def __repr__(self) -> str:
        return f"device {self.name}"


class ContainerMachine(RuleBasedStateMachine):
    """Opens, joins, leaves and closes at random, in orders that no program would choose.

    Override the methods that make the calls. They raise the OSError that the kernel refuses a call
    with, and what they return is handed to `close` and to the others as it is.
    """

    machine: ClassVar[str | Machine] = "q35-intel"
    #: The groups to use, with their devices.
    groups: ClassVar[Mapping[int, Sequence[str]]] = {
        1: ("0000:00:02.0",),
        3: ("0000:02:01.0", "0000:02:02.0"),
        4: ("0000:00:05.0",),
    }
    #: How many containers are open at a time.
    most_containers: ClassVar[int] = 2

    system: System
    process: Process

    def __init__(self) -> None:
        super().__init__()
        at_least(f"{type(self).__name__}.most_containers", self.most_containers, 1)
        if not any(self.groups.values()):
            raise ValueError(f"{type(self).__name__}.groups has no device: found {self.groups}")
        self.system = System(self.machine)
        self.process = self.system.process()
        self._made = 0
        self._containers: list[_Container] = []
        self._groups: dict[int, _Group] = {}
        self._devices: list[_Device] = []

    # --- to override ---

    def open_container(self) -> Any:
        return Container(self.process)

    def open_group(self, number: int) -> Any:
        return Group(self.process, number)

    def set_container(self, group: Any, container: Any) -> None:
        group.set_container(container)

    def unset_container(self, group: Any) -> None:
        group.unset_container()

    def set_iommu(self, container: Any) -> None:
        container.set_iommu()

    def get_device(self, group: Any, name: str) -> Any:
        return group.get_device(name)

    def close(self, handle: Any) -> None:
        """Closes what one of the methods above has returned."""
        handle.close()

    # --- rules ---

    @precondition(lambda self: len(self._containers) < self.most_containers)
    @rule()
    def opens_a_container(self) -> None:
        self._made += 1
        handle = compare("open a container", None, self.open_container)
        self._containers.append(_Container(self._made, handle))

    @rule(data=st.data())
    def opens_a_group(self, data: st.DataObject) -> None:
        number = data.draw(st.sampled_from(sorted(self.groups)), "group")
        expected = errno.EBUSY if number in self._groups else None
        handle = compare(f"open group {number}", expected, lambda: self.open_group(number))
        if expected is None:
            self._groups[number] = _Group(number, handle)

    @precondition(lambda self: self._open_groups() and self._containers)
    @rule(data=st.data())
    def a_group_joins(self, data: st.DataObject) -> None:
        group = data.draw(st.sampled_from(self._open_groups()), "group")
        container = data.draw(st.sampled_from(self._containers), "container")
        expected = errno.EINVAL if group.container is not None else None
        compare(
            f"{group} joins {container}",
            expected,
            lambda: self.set_container(group.handle, container.handle),
        )
        if expected is None:
            group.container = container
            container.groups.add(group.number)

    @precondition(lambda self: self._open_groups())
    @rule(data=st.data())
    def a_group_leaves(self, data: st.DataObject) -> None:
        group = data.draw(st.sampled_from(self._open_groups()), "group")
        expected = None
        if group.container is None:
            expected = errno.EINVAL
        elif group.devices:
            expected = errno.EBUSY
        compare(f"{group} leaves", expected, lambda: self.unset_container(group.handle))
        if expected is None:
            self._left(group)

    @precondition(lambda self: self._containers)
    @rule(data=st.data())
    def a_container_sets_its_iommu(self, data: st.DataObject) -> None:
        container = data.draw(st.sampled_from(self._containers), "container")
        expected = None if container.groups and not container.driver else errno.EINVAL
        compare(f"{container} sets its IOMMU", expected, lambda: self.set_iommu(container.handle))
        if expected is None:
            container.driver = True

    @precondition(lambda self: self._groups_with_devices())
    @rule(data=st.data())
    def opens_a_device(self, data: st.DataObject) -> None:
        group = data.draw(st.sampled_from(self._groups_with_devices()), "group")
        name = data.draw(st.sampled_from(self.groups[group.number]), "device")
        ready = group.container is not None and group.container.driver
        handle = compare(
            f"open {name}",
            None if ready else errno.EINVAL,
            lambda: self.get_device(group.handle, name),
        )
        if ready:
            group.devices += 1
            self._devices.append(_Device(name, handle, group))

    @precondition(lambda self: self._containers or self._open_groups() or self._devices)
    @rule(data=st.data())
    def closes(self, data: st.DataObject) -> None:
        things: list[_Container | _Group | _Device]
        things = [*self._devices, *self._open_groups(), *self._containers]
        self._close(data.draw(st.sampled_from(things), "what"))

    # --- the model ---

    def _open_groups(self) -> list[_Group]:
        return [group for group in self._groups.values() if group.open]

    def _groups_with_devices(self) -> list[_Group]:
        return [group for group in self._open_groups() if self.groups[group.number]]

    def _close(self, thing: _Container | _Group | _Device) -> None:
        compare(f"close {thing}", None, lambda: self.close(thing.handle))
        match thing:
            case _Container():
                self._containers.remove(thing)
            case _Group():
                thing.open = False
                self._release(thing)
            case _Device():
                self._devices.remove(thing)
                thing.group.devices -= 1
                self._release(thing.group)

    def _release(self, group: _Group) -> None:
        if not group.open and not group.devices:
            self._left(group)
            del self._groups[group.number]

    def _left(self, group: _Group) -> None:
        if (container := group.container) is not None:
            container.groups.discard(group.number)
            container.driver = container.driver and bool(container.groups)
            group.container = None

    def teardown(self) -> None:
        things: list[_Container | _Group | _Device]
        things = [*self._devices, *self._open_groups(), *self._containers]
        for thing in things:
            self._close(thing)
        # Every group can be opened again: nobody holds it.
        for number in self.groups:
            opens = partial(self.open_group, number)
            self.close(compare(f"open group {number}", None, opens))
        self.system.close()
