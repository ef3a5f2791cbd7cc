# SPDX-License-Identifier: MIT
"""Hypercalls of 2013 for a linked bus and a bus of KVM's own, held against dictionaries.

Bare metal tries each in real mode first, a guest of a hypervisor has virtual mode alone: what the
guest finds, what the tables hold and what is pinned must be the same, and the dictionaries'.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvmiommu import System, kvm, kvm_2013, machine, uapi
from kvmiommu.kvm import Kvm
from kvmiommu.spapr import SpaprContainer
from kvmiommu.uapi.papr import (
    H_GET_TCE,
    H_HARDWARE,
    H_PARAMETER,
    H_PUT_TCE,
    H_PUT_TCE_INDIRECT,
    H_STUFF_TCE,
    H_SUCCESS,
)
from kvmiommu.vfio import Group

RAM = 1 << 20
LIST = RAM - 0x10000
LINKED, OWN = 1, 2
OWN_PAGES = 24
RIGHTS = 3
#: The container's default window, in pages of 4 KiB.
WINDOWS = {"powernv9": (2 << 30) >> 12, "pseries": (1 << 30) >> 12}


@dataclass(frozen=True)
class Call:
    """Pages of 4 KiB; those from 256 on are not in the guest's memory."""

    number: int
    liobn: int
    page: int
    skew: int
    values: tuple[int, ...]
    fail_nth: int = 0


def value(page: int, rights: int, bits: int) -> int:
    return page << 12 | bits | rights


values = st.builds(
    value,
    st.one_of(st.integers(0, 0xEF), st.sampled_from((0xEF, 0x100, 1 << 40))),
    st.sampled_from((0, 1, 2, 3, 3, 3)),
    st.sampled_from((0, 0, 0, 0, 4)),
)
calls = st.builds(
    Call,
    st.sampled_from((H_PUT_TCE, H_PUT_TCE, H_STUFF_TCE, H_PUT_TCE_INDIRECT, H_GET_TCE)),
    st.sampled_from((LINKED, OWN)),
    st.integers(0, OWN_PAGES + 1),
    st.sampled_from((0, 0, 0, 8)),
    st.lists(values, min_size=1, max_size=6).map(tuple),
    st.integers(0, 3),
)


@dataclass
class Model:
    """What both tables hold; None: user space is to answer."""

    linked: dict[int, int] = field(default_factory=dict)
    own: dict[int, int] = field(default_factory=dict)

    def run(self, call: Call) -> int | None:
        return self.run_linked(call) if call.liobn == LINKED else self.run_own(call)

    def run_own(self, call: Call) -> int | None:
        given = list(call.values)
        if call.number in (H_PUT_TCE, H_GET_TCE):
            given = given[:1]
            past = call.page >= OWN_PAGES
        else:
            past = (call.page + len(given)) * 4096 + call.skew > OWN_PAGES * 4096
        if call.number == H_STUFF_TCE:
            given = [given[0]] * len(given)
            past = past or bool(given[0] & RIGHTS)
        if past or (call.number != H_GET_TCE and any(each & 0xFFC for each in given)):
            return H_PARAMETER
        if call.number != H_GET_TCE:
            self.own.update(enumerate(given, call.page))
        return H_SUCCESS

    def run_linked(self, call: Call) -> int | None:
        first, *rest = call.values
        match call.number:
            case _ if call.number == H_GET_TCE:
                return None
            case _ if call.number == H_STUFF_TCE or (
                call.number == H_PUT_TCE and not first & RIGHTS
            ):
                count = 1 + len(rest) if call.number == H_STUFF_TCE else 1
                if call.skew or (call.number == H_STUFF_TCE and first):
                    return H_PARAMETER
                for page in range(call.page, call.page + count):
                    self.linked.pop(page, None)
                return H_SUCCESS
        given = call.values if call.number == H_PUT_TCE_INDIRECT else (first,)
        for each in given:
            if call.skew or each & 0xFFC or not each & RIGHTS:
                return H_PARAMETER
        fits = all(each >> 12 < RAM >> 12 for each in given)
        free = all(page not in self.linked for page in range(call.page, call.page + len(given)))
        if not fits or not free:
            return H_HARDWARE
        self.linked.update(enumerate(given, call.page))
        return H_SUCCESS


class Guest:
    """A guest with one linked bus and one of KVM's own."""

    def __init__(self, system: System) -> None:
        self.system = system
        self.process = system.process()
        self.ram = self.process.mmap(RAM, 3, 0x22, align=2 << 20)
        self.container = SpaprContainer(self.process)
        self.group = Group(self.process, 1)
        self.group.set_container(self.container)
        self.container.set_iommu(uapi.vfio.VFIO_SPAPR_TCE_IOMMU)
        self.vm = Kvm(self.process).create_vm()
        self.guest = kvm.Guest(self.vm, self.ram, RAM)
        kvm_2013.TceIommu(self.vm).link(LINKED, self.group)
        self.table = self.vm.create_spapr_tce(OWN, window_size=OWN_PAGES << 12)

    def run(self, call: Call) -> int | None:
        ioba = (call.page << 12) + call.skew
        arguments = [call.values[0], len(call.values)]
        if call.number == H_PUT_TCE_INDIRECT:
            data = struct.pack(f">{len(call.values)}Q", *call.values)
            self.guest.write(LIST, data)
            arguments[0] = LIST
        self.process.fail_nth = call.fail_nth
        answer = self.guest.hcall(call.number, call.liobn, ioba, *arguments)
        self.process.fail_nth = 0
        return None if answer is None else answer.r3


def parity(call: Call) -> bool:
    """In real mode all entries are looked at before a page is: what is wrong with several may be
    told otherwise in virtual mode."""
    rights = all(not each & 0xFFC and each & RIGHTS for each in call.values)
    return call.number != H_PUT_TCE_INDIRECT or call.liobn == OWN or rights


@pytest.mark.parametrize("name", ["powernv9", "pseries"])
@given(program=st.lists(calls, max_size=25))
def test_the_tables_are_the_dictionaries(name: str, program: list[Call]) -> None:
    fixed = ("spapr-real-mode-forgets-pages", "spapr-links-pin-for-reading")
    description = replace(machine.load(name), proposals=("spapr-tce-iommu-device",), fixed=fixed)
    real = name == "powernv9"
    with System(description) as system:
        guest = Guest(system)
        model = Model()
        for call in program:
            # Where there is no real mode, a fault is memory for a table that cannot be had.
            made = call if real else replace(call, fail_nth=0)
            if not real and not parity(call):
                continue
            assert guest.run(made) == model.run(call)
        linked, own = guest.vm.tce_tables()
        assert linked.size == WINDOWS[name]
        assert own.entries == {page: tce for page, tce in model.own.items() if tce}
        assert linked.entries.keys() == model.linked.keys()
        rights = {page: tce & RIGHTS for page, tce in model.linked.items()}
        if real:  # bare metal reads wherever it writes
            rights = {page: each | each >> 1 for page, each in rights.items()}
        assert {page: tce & RIGHTS for page, tce in linked.entries.items()} == rights
        bases = {
            tce - (model.linked[page] & ~RIGHTS) & ~RIGHTS for page, tce in linked.entries.items()
        }
        assert len(bases) <= 1  # the guest's memory is one piece
        assert system.total_pins == len(model.linked) * 16
        assert guest.table.entries() == tuple(model.own.get(page, 0) for page in range(OWN_PAGES))
        guest.group.close()
        guest.container.close()
