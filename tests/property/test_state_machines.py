# SPDX-License-Identifier: MIT
"""The state machines that come with the package: the emulator passes them, and what is wrong on
purpose does not."""

from __future__ import annotations

import contextlib
from dataclasses import replace

import pytest
from hypothesis import Phase, settings
from hypothesis.stateful import RuleBasedStateMachine, run_state_machine_as_test

from kvmiommu.machine import load
from kvmiommu.spapr import SpaprContainer
from kvmiommu.testing.stateful import ContainerMachine, TceTableMachine, Type1Machine
from kvmiommu.uapi.papr import H_PUT_TCE, H_STUFF_TCE
from kvmiommu.vfio import Group
from kvmiommu.vmm import Bus, Vmm

SMALL = settings(max_examples=15, stateful_step_count=20, deadline=None, database=None)
#: Enough to find what is wrong, and no time for making it smaller.
FIND = settings(SMALL, max_examples=200, phases=[Phase.generate], derandomize=True)


class AmdContainers(ContainerMachine):
    machine = "q35-amd"
    groups = {8: ("0000:01:00.0",)}  # noqa: RUF012 - a ClassVar of the base


class AmdMappings(Type1Machine):
    machine = "q35-amd"


class SmallPages(TceTableMachine):
    machine = replace(load("powernv9-4k"), kernel="6.12.117")
    page_shift = 12


class SmallBuffer(Type1Machine):
    buffer_pages = 2


class AGroupWithoutDevices(ContainerMachine):
    groups = {1: (), 3: ("0000:02:01.0",)}  # noqa: RUF012 - a ClassVar of the base


class InUserSpace(TceTableMachine):
    """The small VMM that comes with the package answers each hypercall."""

    def begin(self) -> None:
        container, group = SpaprContainer(self.process), Group(self.process, 1)
        group.set_container(container)
        container.set_iommu()
        container.remove_window(0)
        size = self.frames << self.page_shift
        container.register_memory(self.ram, size)
        start = container.create_window(self.page_shift, 1 << 28)
        self.bus = Bus(self.liobn, container, start, self.page_shift, self.pages)
        self.vmm = Vmm(self.guest)
        self.vmm.add_bus(self.bus)

    def hypercall(self, number: int, arguments: tuple[int, ...]) -> tuple[int, int]:
        liobn, ioba, *rest = arguments
        answer = self.vmm.run([(number, liobn, ioba + self.bus.start, *rest)])[-1]
        return answer.r3, answer.r4

    def entries(self) -> list[int]:
        return [self.bus.tces.get(page, 0) for page in range(self.pages)]


@pytest.mark.parametrize(
    "state_machine",
    [
        ContainerMachine,
        AmdContainers,
        Type1Machine,
        AmdMappings,
        TceTableMachine,
        SmallPages,
        InUserSpace,
        SmallBuffer,
        AGroupWithoutDevices,
    ],
)
def test_the_emulator_passes(state_machine: type[RuleBasedStateMachine]) -> None:
    run_state_machine_as_test(state_machine, settings=SMALL)


# --- each of these is wrong in one way ------------------------------------------------------------


class ForgetsTheDevice(ContainerMachine):
    """Closes a device's group, and not the device."""

    def close(self, handle) -> None:
        if not hasattr(handle, "reset"):
            super().close(handle)


class LeavesInSilence(ContainerMachine):
    def unset_container(self, group) -> None:
        with contextlib.suppress(OSError):
            super().unset_container(group)


class SharesAContainer(ContainerMachine):
    """Has one container for all."""

    def open_container(self):
        if not hasattr(self, "one"):
            self.one = super().open_container()
        return self.one


class MapsOnePageTooMany(Type1Machine):
    def map_dma(self, iova, offset, size, access) -> None:
        longer = min(size + self.page, self.buffer_pages * self.page - offset)
        super().map_dma(iova, offset, longer, access)


class MapsTheWrongPage(Type1Machine):
    def map_dma(self, iova, offset, size, access) -> None:
        super().map_dma(iova, 0, size, access)


class ForgetsTheAccess(Type1Machine):
    def map_dma(self, iova, offset, size, access) -> None:
        super().map_dma(iova, offset, size, "rw")


class UnmapsLazily(Type1Machine):
    def unmap_dma(self, iova, size):
        return sum(each.size for each in self._meeting(iova, size))


class CutsMappings(Type1Machine):
    """Unmaps what a range meets, as version 1 did."""

    def unmap_dma(self, iova, size):
        return sum(
            super(CutsMappings, self).unmap_dma(each.iova, each.size)
            for each in self._meeting(iova, size)
        )


class DropsAPut(TceTableMachine):
    def hypercall(self, number, arguments):
        if number == H_PUT_TCE and arguments[1] == 2 << self.page_shift:
            return 0, 0
        return super().hypercall(number, arguments)


class StuffsPastTheEnd(TceTableMachine):
    def hypercall(self, number, arguments):
        if number == H_STUFF_TCE:
            liobn, ioba, value, count = arguments
            left = self.pages - (ioba >> self.page_shift)
            arguments = (liobn, ioba, value, max(min(count, left), 0))
        return super().hypercall(number, arguments)


class OlderKernel(TceTableMachine):
    """Linux 6.12.107 looks at the first page of a range alone."""

    machine = "powernv9"


@pytest.mark.parametrize(
    ("state_machine", "message"),
    [
        (ForgetsTheDevice, "expected"),
        (LeavesInSilence, "expected E(INVAL|BUSY), but it was granted"),
        (SharesAContainer, "expected|closed|not open"),
        (MapsOnePageTooMany, "expected"),
        (
            MapsTheWrongPage,
            "found page 0 of the buffer, expected page|went to page 0 of the buffer",
        ),
        (ForgetsTheAccess, "expected"),
        (UnmapsLazily, "expected"),
        (CutsMappings, "expected EINVAL, but it was granted"),
        (DropsAPut, r"entry 2 is 0x0, expected 0x"),
        (StuffsPastTheEnd, r"<H_STUFF_TCE: .*> returned H_SUCCESS, expected H_PARAMETER"),
        (
            OlderKernel,
            r"<H_(STUFF_TCE|PUT_TCE_INDIRECT): .*> returned H_SUCCESS, expected H_PARAMETER",
        ),
    ],
)
def test_what_is_wrong_is_found(state_machine: type[RuleBasedStateMachine], message: str) -> None:
    with pytest.raises((AssertionError, OSError, ValueError), match=message):
        run_state_machine_as_test(state_machine, settings=FIND)


class ReturnsNothing(Type1Machine):
    def unmap_dma(self, iova, size):
        super().unmap_dma(iova, size)


class UnmapsAllInSilence(Type1Machine):
    def unmap_all(self):
        super().unmap_all()


class BeginsNothing(Type1Machine):
    def begin(self) -> None: ...


class AnswersNothing(TceTableMachine):
    def hypercall(self, number, arguments):
        super().hypercall(number, arguments)


class ShowsLess(TceTableMachine):
    def entries(self):
        return super().entries()[:-1]


@pytest.mark.parametrize(
    ("state_machine", "message"),
    [
        (
            ReturnsNothing,
            r"ReturnsNothing\.unmap_dma\(\) returned None: must be how many bytes went",
        ),
        (UnmapsAllInSilence, r"UnmapsAllInSilence\.unmap_all\(\) returned None: must be how many"),
        (BeginsNothing, r"BeginsNothing\.begin\(\) has set no `device`"),
        (AnswersNothing, r"AnswersNothing\.hypercall\(\) returned None: must be r3 and r4"),
        (ShowsLess, r"ShowsLess\.entries\(\) returned .*: must be a sequence of 16"),
    ],
)
def test_a_method_that_does_not_keep_its_promise_is_named(
    state_machine: type[RuleBasedStateMachine], message: str
) -> None:
    with pytest.raises(TypeError, match=message):
        run_state_machine_as_test(state_machine, settings=FIND)


@pytest.mark.parametrize(
    ("base", "name", "value"),
    [
        (Type1Machine, "iova_pages", 0),
        (Type1Machine, "buffer_pages", 0),
        (TceTableMachine, "frames", 1),
        (TceTableMachine, "pages", 0),
        (ContainerMachine, "groups", {}),
        (ContainerMachine, "most_containers", 0),
    ],
)
def test_a_setting_that_leaves_nothing_to_do_is_named(
    base: type[RuleBasedStateMachine], name: str, value: object
) -> None:
    mine = type("Mine", (base,), {name: value})
    with pytest.raises(ValueError, match=rf"Mine\.{name} "):
        run_state_machine_as_test(mine, settings=FIND)
