# SPDX-License-Identifier: MIT
"""The TCE table of a POWER guest against a dictionary of its entries."""

from __future__ import annotations

from collections.abc import Sequence, Sized
from dataclasses import replace
from functools import cache
from typing import ClassVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from kvmiommu import Process, System
from kvmiommu.kvm import Guest, Kvm, TceTable
from kvmiommu.machine import Machine, load
from kvmiommu.strace import return_code_name
from kvmiommu.testing.strategies import TceCall, tce_calls
from kvmiommu.testing.strategies._arguments import at_least
from kvmiommu.uapi.papr import (
    H_GET_TCE,
    H_PARAMETER,
    H_PUT_TCE,
    H_PUT_TCE_INDIRECT,
    H_STUFF_TCE,
    H_SUCCESS,
)

__all__ = ["TceTableMachine"]

_READS = (H_PUT_TCE, H_GET_TCE)


@cache  # it takes longer to make than to draw from
def _calls(pages: int, frames: int) -> st.SearchStrategy[TceCall]:
    return tce_calls(pages, frames=frames)


class TceTableMachine(RuleBasedStateMachine):
    """Puts, stuffs and reads entries through hypercalls.

    By default the guest's hypercalls go to KVM, which keeps the table. Override `begin` and
    `hypercall` for a VMM that answers them, and `entries`, which shows its table.
    """

    #: The kernel of "powernv9" itself is older: it looks at the first page of a range alone.
    machine: ClassVar[str | Machine] = replace(load("powernv9"), kernel="6.12.117")
    liobn: ClassVar[int] = 0x80000001
    #: Of the table: its pages are 2**page_shift bytes, there are `pages` from bus address 0 on.
    page_shift: ClassVar[int] = 16
    pages: ClassVar[int] = 16
    #: The guest's memory, in pages of the table; the last one has the lists of H_PUT_TCE_INDIRECT.
    frames: ClassVar[int] = 8

    system: System
    process: Process
    #: The guest's memory in `process`.
    ram: int
    guest: Guest
    #: What the table must hold, by its pages; an entry that is not there is 0.
    model: dict[int, int]

    def __init__(self) -> None:
        super().__init__()
        at_least(f"{type(self).__name__}.pages", self.pages, 1)
        # One for the lists, one to map.
        at_least(f"{type(self).__name__}.frames", self.frames, 2)
        self.model = {}
        self.table: TceTable | None = None
        self._begun = False
        self.system = System(self.machine)
        self.process = self.system.process()
        size = self.frames << self.page_shift
        self.ram = self.process.mmap(size, 3, 0x22, align=1 << 20)
        self.guest = Guest(Kvm(self.process).create_vm(), self.ram, size)

    # --- to override ---

    def begin(self) -> None:
        """Makes the table."""
        for number in (H_STUFF_TCE, H_PUT_TCE_INDIRECT):
            self.guest.vm.enable_hcall(number)
        self.table = self.guest.vm.create_spapr_tce(
            self.liobn, page_shift=self.page_shift, size=self.pages
        )

    def hypercall(self, number: int, arguments: Sequence[int]) -> tuple[int, int]:
        """Makes one hypercall as the guest; r3 and r4."""
        self.guest.queue((number, *arguments))
        assert self.guest.run() is None, "the hypercall was left to user space"
        answer = self.guest.answers()[-1]
        return answer.r3, answer.r4

    def entries(self) -> Sequence[int]:
        """All entries of the table. A VMM that cannot show them has the guest read each of them."""
        assert self.table is not None
        return self.table.entries()

    # --- rules ---

    @initialize()
    def _begin(self) -> None:
        self.begin()
        self._begun = True

    @rule(data=st.data())
    def call(self, data: st.DataObject) -> None:
        call = data.draw(_calls(self.pages, self.frames - 1), "call")
        list_at = (self.frames - 1) << self.page_shift
        if call.number == H_PUT_TCE_INDIRECT:
            self.process.poke(self.ram + list_at, call.list_bytes(self.page_shift))
        arguments = call.arguments(self.liobn, 0, self.page_shift, list_at)
        answer = self.hypercall(call.number, arguments)
        try:
            r3, r4 = answer
        except (TypeError, ValueError):
            raise TypeError(
                f"{type(self).__name__}.hypercall() returned {answer!r}: must be r3 and r4"
            ) from None
        expected, value = self._expected(call)
        assert r3 == expected, (
            f"{call} returned {return_code_name(r3)}, expected {return_code_name(expected)}"
        )
        if call.number == H_GET_TCE and r3 == H_SUCCESS:
            assert r4 == value, f"{call} returned {r4:#x}, expected {value:#x}"

    def _expected(self, call: TceCall) -> tuple[int, int]:
        count = 1 if call.number in _READS else len(call.tces)
        if call.skew or call.page + count > self.pages:
            return H_PARAMETER, 0
        if call.number == H_GET_TCE:
            return H_SUCCESS, self.model.get(call.page, 0)
        for page, value in enumerate(call.values(self.page_shift), call.page):
            self.model[page] = value
        return H_SUCCESS, 0

    # --- what must hold ---

    @invariant()
    def table_holds_what_was_put(self) -> None:
        if not self._begun:
            return
        entries = self.entries()
        if not isinstance(entries, Sized) or len(entries) != self.pages:
            raise TypeError(
                f"{type(self).__name__}.entries() returned {entries!r}: must be a sequence of "
                f"{self.pages}"
            )
        for page, found in enumerate(entries):
            expected = self.model.get(page, 0)
            assert found == expected, f"entry {page} is {found:#x}, expected {expected:#x}"

    def teardown(self) -> None:
        self.system.close()
