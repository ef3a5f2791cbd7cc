# SPDX-License-Identifier: MIT
"""The strategies that come with the package: what they draw is right, and shrinks to little."""

from __future__ import annotations

import copy
import pickle
from dataclasses import replace

import pytest
from hypothesis import find, given, settings
from hypothesis import strategies as st
from hypothesis.errors import NoSuchExample
from hypothesis.vendor.pretty import pretty

from kvmiommu import System, machine
from kvmiommu.machine import Machine
from kvmiommu.testing.strategies import (
    IovaRange,
    MapCall,
    Opened,
    TceCall,
    UnmapCall,
    device_orders,
    fail_nth,
    iova_ranges,
    iovas,
    machines,
    map_programs,
    tce_calls,
    tce_programs,
)
from kvmiommu.uapi.papr import H_GET_TCE, H_PUT_TCE, H_PUT_TCE_INDIRECT, H_STUFF_TCE

GROUPS = {1: ("0000:00:02.0",), 3: ("0000:02:01.0", "0000:02:02.0")}


def smallest(strategy: st.SearchStrategy, condition=lambda _: True) -> str:
    """What a failure would show."""
    chosen = settings(database=None, derandomize=True, max_examples=1000)
    return pretty(find(strategy, condition, settings=chosen))


@pytest.mark.parametrize(
    ("strategy", "condition", "shown"),
    [
        (iovas(), lambda iova: iova > 0, "4096"),
        (iova_ranges(), lambda _: True, "IovaRange(iova=0x0, size=0x1000)"),
        (
            iova_ranges(),
            lambda piece: piece.iova >= 1 << 32,
            "IovaRange(iova=0x100000000, size=0x1000)",
        ),
        (
            map_programs(),
            lambda program: any(isinstance(call, MapCall) for call in program),
            "[MapCall(iova=0x0, size=0x1000, offset=0x0, access='rw')]",
        ),
        (
            map_programs(),
            lambda program: bool(program) and isinstance(program[0], UnmapCall),
            "[UnmapCall(iova=0x0, size=0x1000)]",
        ),
        (machines(), lambda _: True, "machine.load('q35-intel')"),
        (machines("q35-amd", "q35-intel"), lambda _: True, "machine.load('q35-amd')"),
        (
            machines(),
            lambda machine: not machine.options["iommu.strict"],
            "machine.load('q35-intel', options={'iommu.strict': False})",
        ),
        (machines(), lambda machine: machine.abi == "power", "machine.load('powernv9')"),
        (
            device_orders(groups=GROUPS),
            lambda _: True,
            "[<open: container>, <open: group 1>, <set container: group 1>, <set iommu: container>,"
            "\n <open: 0000:00:02.0>, <close: 0000:00:02.0>, <close: group 1>, <close: container>]",
        ),
        (fail_nth(), lambda _: True, "0"),
        (fail_nth(), lambda nth: nth > 0, "1"),
        (tce_calls(), lambda call: call.number == H_PUT_TCE, "<H_PUT_TCE: page 0x0, 0x0 ->"),
        (
            tce_programs(),
            lambda program: any(call.number == H_GET_TCE for call in program),
            "[<H_GET_TCE: page 0x0>]",
        ),
        (
            tce_programs(),
            lambda program: any(call.tces[:1] == ((0, 3),) for call in program),
            "[<H_PUT_TCE: page 0x0, 0x0 rw>]",
        ),
        (
            tce_calls(),
            lambda call: call.number == H_PUT_TCE_INDIRECT and len(call.tces) > 1,
            "<H_PUT_TCE_INDIRECT: page 0x0, [0x0 -, 0x0 -]>",
        ),
        (
            tce_calls(),
            lambda call: call.number == H_STUFF_TCE and call.skew and call.tces,
            "<H_STUFF_TCE: page 0x0 + 0x8, 0x0 - x 1>",
        ),
    ],
)
def test_what_is_drawn_shrinks_to_little(
    strategy: st.SearchStrategy, condition, shown: str
) -> None:
    assert smallest(strategy, condition).split() == shown.split()


def test_a_range_is_a_tuple_with_its_last_byte() -> None:
    piece = IovaRange(0x1000, 0x2000)
    assert piece == (0x1000, 0x2000)
    assert piece.last == 0x2FFF


@given(machines())
@settings(max_examples=30)
def test_each_machine_that_is_drawn_runs(machine: Machine) -> None:
    with System(machine) as system:
        assert system.machine is machine


@given(machines())
@settings(max_examples=10)
def test_a_machine_that_is_drawn_is_that_of_its_description_and_of_its_repr(
    drawn: Machine,
) -> None:
    again = machine.parse(drawn.text(), "drawn")
    shown = eval(repr(drawn), {"machine": machine})
    copies = [copy.copy(drawn), copy.deepcopy(drawn), pickle.loads(pickle.dumps(drawn))]
    for other in (again, shown, *copies):
        assert drawn == other
        assert other == drawn
        assert hash(drawn) == hash(other)
    for each in copies:
        assert repr(each) == repr(drawn)
    less = replace(drawn, memory=1 << 30)
    assert less != drawn
    assert eval(repr(less), {"machine": machine}) == less
    assert repr(replace(drawn, name="mine")).startswith("<Machine mine: ")
    assert drawn != 3


def test_machines_are_chosen_by_what_they_are() -> None:
    strategy = machines(where=lambda machine: machine.abi == "power", vary_options=False)
    with pytest.raises(NoSuchExample):
        find(strategy, lambda machine: machine.abi == "generic", settings=settings(database=None))
    with pytest.raises(ValueError, match="none of q35-amd is a machine that `where` takes"):
        machines("q35-amd", where=lambda machine: machine.abi == "power")


ORDERED = [
    name
    for name in machine.names()
    if (found := machine.load(name)).modules.vfio and found.groups()
]


@pytest.mark.parametrize("name", ORDERED)
@given(data=st.data())
@settings(max_examples=15, deadline=None)
def test_every_step_of_an_order_is_granted(name: str, data: st.DataObject) -> None:
    order = data.draw(device_orders(name))
    with System(name) as system:
        groups = {
            number: tuple(function.address for function in functions)
            for number, functions in system.machine.groups().items()
        }
        opened = Opened(system.process(), groups)
        for step in order:
            opened.perform(step)
        assert opened.things == {}


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: iovas(address_width=10), "address_width is 10: must be 12 or more"),
        (lambda: iovas(page_size=0), "page_size is 0: must be 1 or more"),
        (lambda: iovas(page_size=6), "page_size is 6: must be a power of two"),
        (lambda: iova_ranges(most_pages=0), "most_pages is 0: must be 1 or more"),
        (lambda: iova_ranges(most_pages="x"), "most_pages must be an integer, not str"),
        (lambda: map_programs(buffer_size=8), "buffer_size is 8: must be 4096 or more"),
        (lambda: map_programs(most_calls=-1), "most_calls is -1: must be 0 or more"),
        (lambda: tce_calls(0), "pages is 0: must be 1 or more"),
        (lambda: tce_calls(frames=0), "frames is 0: must be 1 or more"),
        (lambda: tce_programs(most_tces=-1), "most_tces is -1: must be 0 or more"),
        (lambda: tce_programs(most_calls=-1), "most_calls is -1: must be 0 or more"),
        (lambda: fail_nth(-1), "most is -1: must be 0 or more"),
        (lambda: device_orders(most_groups=0), "most_groups is 0: must be 1 or more"),
        (lambda: device_orders(groups={}), "groups is empty"),
    ],
)
def test_an_argument_that_cannot_be_is_named(make, message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=message):
        make()


def test_orders_are_of_the_devices_that_vfio_may_have_and_differ() -> None:
    orders = device_orders("q35-intel", most_groups=3)
    find(orders, lambda order: order[0].thing != "container", settings=settings(database=None))
    find(orders, lambda order: order[-1].thing != "container", settings=settings(database=None))
    find(orders, lambda order: len(order) > 16, settings=settings(database=None))


def test_a_tce_call_has_the_arguments_of_its_hypercall() -> None:
    put = TceCall(H_PUT_TCE, 2, 8, ((5, 3),))
    assert put.arguments(9, 0x10000, 12, 0) == (9, 0x12008, 0x5003)
    stuff = TceCall(H_STUFF_TCE, 1, 0, ((0, 0),) * 4)
    assert stuff.arguments(9, 0, 16, 0) == (9, 0x10000, 0, 4)
    indirect = TceCall(H_PUT_TCE_INDIRECT, 0, 0, ((1, 1), (2, 2)))
    assert indirect.arguments(9, 0, 16, 0x4000) == (9, 0, 0x4000, 2)
    assert indirect.list_bytes(16).hex() == "00000000000100010000000000020002"
