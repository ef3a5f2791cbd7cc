# SPDX-License-Identifier: MIT
"""Orders in which descriptors of VFIO are opened, joined and closed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from hypothesis import strategies as st

from kvmiommu import Process
from kvmiommu.machine import Machine, load
from kvmiommu.spapr import SpaprContainer
from kvmiommu.vfio import Container, Device, Group

from ._arguments import at_least
from ._shown import Shown

__all__ = ["DeviceStep", "Opened", "device_orders"]

Action: TypeAlias = Literal["open", "set_container", "set_iommu", "close"]
#: "container", the number of a group, or the address of a device.
Thing: TypeAlias = str | int


@dataclass(frozen=True, slots=True, repr=False)
class DeviceStep(Shown):
    """One call: `thing` is "container", the number of a group or the address of a device."""

    action: Action
    thing: Thing

    def __repr__(self) -> str:
        thing = f"group {self.thing}" if isinstance(self.thing, int) else self.thing
        return f"<{self.action.replace('_', ' ')}: {thing}>"


class Opened:
    """What the steps have opened so far, in `process`: by what the steps call it.

    A class of your own with a method `perform` does the same with other code.
    """

    def __init__(self, process: Process, groups: Mapping[int, Sequence[str]]) -> None:
        self.process = process
        self.things: dict[Thing, Container | Group | Device] = {}
        self._group_of = {name: number for number, names in groups.items() for name in names}

    def perform(self, step: DeviceStep) -> None:
        """Makes the call. Raises OSError: the kernel refuses it."""
        match step.action, step.thing:
            case "open", "container":
                power = self.process.abi == "power"
                kind: type[Container] = SpaprContainer if power else Container
                self.things["container"] = kind(self.process)
            case "open", int(number):
                self.things[number] = Group(self.process, number)
            case "open", str(name):
                group = self.things[self._group_of[name]]
                assert isinstance(group, Group)
                self.things[name] = group.get_device(name)
            case "set_container", int(number):
                group = self.things[number]
                container = self.things["container"]
                assert isinstance(group, Group) and isinstance(container, Container)  # noqa: PT018
                group.set_container(container)
            case "set_iommu", _:
                container = self.things["container"]
                assert isinstance(container, Container)
                container.set_iommu()
            case "close", thing:
                self.things.pop(thing).close()


def _groups(machine: Machine) -> dict[int, tuple[str, ...]]:
    """The devices that VFIO may have, by their groups."""
    found = {}
    for number, functions in machine.groups().items():
        drivers = {function.driver for function in functions}
        if "vfio-pci" in drivers and drivers <= {"vfio-pci", "", "pcieport"}:
            found[number] = tuple(f.address for f in functions if f.driver == "vfio-pci")
    return found


def device_orders(
    machine: str | Machine = "q35-intel",
    *,
    most_groups: int = 2,
    groups: Mapping[int, Sequence[str]] | None = None,
) -> st.SearchStrategy[list[DeviceStep]]:
    """Orders that take one to `most_groups` groups of a machine and all of their devices, and close
    everything: each thing may be opened as soon as what it needs is there, and closed at any time
    after its last use as an argument.

    So every step of an order is one that the kernel grants, whatever was closed before.
    `groups` says which devices of which groups there are, else it is those that VFIO may have.
    Shrinks to one group, opened in the usual order and closed in the reverse one.

    Raises ValueError: there is no group.
    """
    at_least("most_groups", most_groups, 1)
    known = (
        groups
        if groups is not None
        else _groups(load(machine) if isinstance(machine, str) else machine)
    )
    if not known:
        raise ValueError(
            "groups is empty" if groups is not None else f"{machine} has no group for VFIO"
        )
    return _device_orders(known, most_groups)


@st.composite
def _device_orders(
    draw: st.DrawFn, known: Mapping[int, Sequence[str]], most_groups: int
) -> list[DeviceStep]:
    numbers = draw(
        st.lists(st.sampled_from(sorted(known)), min_size=1, max_size=most_groups, unique=True)
    )
    # Each step with the steps that it comes after.
    needs: dict[DeviceStep, set[DeviceStep]] = {}

    def step(action: Action, thing: Thing, *after: DeviceStep) -> DeviceStep:
        made = DeviceStep(action, thing)
        needs[made] = set(after)
        return made

    container = step("open", "container")
    joins = {}
    for number in numbers:
        opened = step("open", number)
        joins[number] = step("set_container", number, container, opened)
    set_iommu = step("set_iommu", "container", *joins.values())
    devices = {
        number: [step("open", name, set_iommu, joins[number]) for name in known[number]]
        for number in numbers
    }
    for number in reversed(numbers):
        for opened in reversed(devices[number]):
            step("close", opened.thing, opened)
        step("close", number, joins[number], set_iommu, *devices[number])
    step("close", "container", set_iommu)

    # Ranks are drawn at once: were each step drawn from those that are ready, orders with fewer
    # choices, such as those that close early, would count as simpler.
    rank = dict(zip(needs, draw(st.permutations(range(len(needs)))), strict=True))
    order: list[DeviceStep] = []
    while needs:
        chosen = min(
            (each for each, after in needs.items() if after <= {*order}), key=rank.__getitem__
        )
        order.append(chosen)
        del needs[chosen]
    return order
