# SPDX-License-Identifier: MIT
"""The pytest plugin: machines, processes and VFIO objects as fixtures.

Each test gets a machine of its own, "q35-intel" unless it is marked with another one::

    @pytest.mark.kvmiommu_machine("q35-amd")              # a machine that comes with the package
    @pytest.mark.kvmiommu_machine(Path("my-machine.toml"))  # or a description of your own

When the test is over the machine is closed, and a test that leaves something referenced which no
process holds fails: the emulator leaks, or the code under test keeps a view open on purpose.

What a device model raised (`kvmiommu.pci`) where no call of the test's was there to raise it fails
the test, too, whoever made the machine.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    # The package is only loaded by a test that asks for one of the fixtures.
    from kvmiommu import Process, System
    from kvmiommu.kvm import VM
    from kvmiommu.vfio import Container, Group

__all__ = ["kvm_vm", "process", "system", "vfio_container", "vfio_group"]

_MARKER = "kvmiommu_machine"
_DEFAULT_MACHINE = "q35-intel"

#: What models raised in machines that went before somebody could be told.
_unclaimed: list[BaseException] = []


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers",
        f"{_MARKER}(machine): the machine of the fixture `system`: a name, a path of a "
        f"description, or a kvmiommu.machine.Machine (default: {_DEFAULT_MACHINE!r})",
    )


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup() -> Iterator[None]:
    _unclaimed.clear()
    if package := sys.modules.get("kvmiommu.system"):
        package._core._set_unclaimed_hook(_unclaimed.append)
    return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown() -> Iterator[None]:
    result = yield
    raised = [*_unclaimed]
    if package := sys.modules.get("kvmiommu.system"):
        for machine in list(package._running):
            raised += machine._take_model_errors()
    if len(raised) == 1:
        raise raised[0]
    if raised:
        raise BaseExceptionGroup("device models raised", raised)
    return result


@pytest.fixture
def system(request: pytest.FixtureRequest) -> Iterator[System]:
    """A running machine: the one that the marker `kvmiommu_machine` names, or q35-intel."""
    from kvmiommu import System  # noqa: PLC0415 - see above

    marker = request.node.get_closest_marker(_MARKER)
    if marker is not None and (len(marker.args) != 1 or marker.kwargs):
        raise pytest.UsageError(
            f"@pytest.mark.{_MARKER} takes one argument, the machine: "
            f"found {marker.args} {marker.kwargs or ''}".rstrip()
        )
    with System(marker.args[0] if marker is not None else _DEFAULT_MACHINE) as running:
        yield running


@pytest.fixture
def process(system: System) -> Process:
    """A process of user 0 on `system`."""
    return system.process()


@pytest.fixture
def vfio_group(process: Process, system: System) -> Group:
    """The machine's first group whose devices are all free for VFIO, opened."""
    from kvmiommu.vfio import Group  # noqa: PLC0415 - see above

    for number, functions in system.machine.groups().items():
        drivers = {function.driver for function in functions}
        if "vfio-pci" in drivers and drivers <= {"vfio-pci", "", "pcieport"}:
            return Group(process, number)
    raise pytest.UsageError(f"{system.machine!r} has no group that VFIO could use")


@pytest.fixture
def vfio_container(process: Process, vfio_group: Group) -> Container:
    """A type1v2 container with `vfio_group` in it, ready to map."""
    from kvmiommu.vfio import Container  # noqa: PLC0415 - see above

    container = Container(process)
    vfio_group.set_container(container)
    container.set_iommu()
    return container


@pytest.fixture
def kvm_vm(process: Process) -> VM:
    """A virtual machine without memory or devices."""
    from kvmiommu.kvm import Kvm  # noqa: PLC0415 - see above

    return Kvm(process).create_vm()
