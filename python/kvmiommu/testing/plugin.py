# SPDX-License-Identifier: MIT
"""The pytest plugin: machines, processes and VFIO objects as fixtures.

Each test gets a machine of its own. Which one, the marker says, or else the option
`--kvmiommu-machine`, the ini key `kvmiommu_machine`, or "q35-intel"::

    @pytest.mark.kvmiommu_machine("q35-amd")                # comes with the package
    @pytest.mark.kvmiommu_machine("q35-intel", "q35-amd")   # runs once on each
    @pytest.mark.kvmiommu_machine(Path("my-machine.toml"))  # a description of your own

A machine that cannot do what a fixture promises skips the test and says why. A test that pytest
cannot run on each of several machines, as a method of a `unittest.TestCase`, fails and says so.

When the test is over the machine is closed. The test fails where something is still referenced
after every process exited, which is a leak of the emulator; a view of memory (`Process.view`)
that is kept is none. What a device model raised (`kvmiommu.pci`) where no call of the test's was
there to raise it fails the test, too, whoever made the machine.

`@pytest.mark.kvmiommu_fail_nth` repeats a test with one allocation after the other failing, on
fresh fixtures, until a run meets no failure. A repetition may end with the refusal, OSError ENOMEM,
or a group of such exceptions; any other one fails the test, and so does what is left referenced.

A failed test shows the last calls on its machines: the fixture's, those that it made itself, and
those of fixtures of a class or a module on which it made a call. See `--kvmiommu-trace`.
"""

from __future__ import annotations

import sys
import traceback
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias, cast
from weakref import WeakKeyDictionary, WeakSet

import pytest

from kvmiommu._observers import observers

if TYPE_CHECKING:
    # The package is only loaded by a test that asks for it.
    from collections.abc import Callable

    from kvmiommu import Process, System
    from kvmiommu.kvm import VM
    from kvmiommu.machine import Machine
    from kvmiommu.pci import DeviceModel
    from kvmiommu.vfio import Container, Group

    from ._report import Witness

__all__ = [
    "kvm_vm",
    "kvmiommu_fail_nth",
    "kvmiommu_machine",
    "kvmiommu_models",
    "kvmiommu_process",
    "kvmiommu_system",
    "vfio_container",
    "vfio_group",
]

_MARKER = "kvmiommu_machine"
_FAIL_NTH = "kvmiommu_fail_nth"
_DEFAULT_MACHINE = "q35-intel"
_DEFAULT_TRACE = 20
_PACKAGE = Path(__file__).parents[1]
_MACHINES = _PACKAGE / "machines"

Choice: TypeAlias = "str | Path | Machine"


@dataclass(frozen=True, slots=True)
class _Settings:
    machines: tuple[str | Path, ...]
    trace: int


_settings = pytest.StashKey[_Settings]()


# --- options --------------------------------------------------------------------------------------


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("kvmiommu", "kvmiommu: emulated machines with KVM, VFIO and IOMMUs")
    group.addoption(
        "--kvmiommu-machine",
        action="append",
        metavar="MACHINE",
        help="The machine of tests that are not marked with one: a name "
        f"(`kvmiommu machines` lists them) or a .toml file; default: {_DEFAULT_MACHINE}. Given "
        "several times, each test runs once on each.",
    )
    group.addoption(
        "--kvmiommu-trace",
        type=int,
        metavar="N",
        help="How many of the last calls of each machine a failed test shows, and whether its "
        f"calls are recorded for a replay: 0 keeps none; default: {_DEFAULT_TRACE}.",
    )
    parser.addini(
        "kvmiommu_machine",
        "The default of --kvmiommu-machine, one a line; files are relative to this file.",
        type="linelist",
    )
    parser.addini("kvmiommu_trace", "The default of --kvmiommu-trace.")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers",
        f"{_MARKER}(*machines): the machine of the test's fixtures, or several, on each of which "
        "the test runs once: names, paths of descriptions, or kvmiommu.machine.Machine objects",
    )
    config.addinivalue_line(
        "markers",
        f"{_FAIL_NTH}(*, raises=(), limit=1000): repeats the test with the first, the second, ... "
        "allocation of its calls failing, until a run meets no failure; a repetition may end with "
        "OSError ENOMEM, or with what `raises` names",
    )
    settings = _Settings(_default_machines(config), _trace_length(config))
    config.stash[_settings] = settings
    config.stash[_observer] = _Observer(settings.trace)
    observers.append(config.stash[_observer])


def pytest_unconfigure(config: pytest.Config) -> None:
    if (observer := config.stash.get(_observer, None)) is not None:
        observers.remove(observer)


def _default_machines(config: pytest.Config) -> tuple[str | Path, ...]:
    if given := config.getoption("kvmiommu_machine"):
        source, base = "--kvmiommu-machine", config.invocation_params.dir
    elif given := config.getini("kvmiommu_machine"):
        source, base = "kvmiommu_machine", config.inipath.parent if config.inipath else Path()
    else:
        return (_DEFAULT_MACHINE,)
    chosen: list[str | Path] = []
    for each in given:
        where = base / each if _is_path(each) else each
        if why := _unknown(where):
            raise pytest.UsageError(f"{source}: {why}")
        chosen.append(where)
    return tuple(dict.fromkeys(chosen))


def _trace_length(config: pytest.Config) -> int:
    source, given = "--kvmiommu-trace", config.getoption("kvmiommu_trace")
    if given is None:
        source, given = "kvmiommu_trace", config.getini("kvmiommu_trace") or _DEFAULT_TRACE
    try:
        length = int(given)
    except ValueError:
        length = -1
    if not 0 <= length <= 1_000_000:
        raise pytest.UsageError(f"{source}: {given!r} is no number of calls from 0 to 1000000")
    return length


def _is_path(text: str) -> bool:
    return "/" in text or text.endswith(".toml")  # as kvmiommu.machine.load takes it


def _unknown(machine: object) -> str | None:
    """Why there is no such machine, as far as can be said without loading the package."""
    if isinstance(machine, Path) or (isinstance(machine, str) and _is_path(machine)):
        return None if Path(machine).is_file() else f"there is no file {str(machine)!r}"
    if not isinstance(machine, str):
        # Whoever has a description has loaded the module that it is from.
        descriptions = sys.modules.get("kvmiommu.machine")
        if descriptions is not None and isinstance(machine, descriptions.Machine):
            return None
        return f"{machine!r} is not a machine: a name, a path or a kvmiommu.machine.Machine"
    names = sorted(path.stem for path in _MACHINES.glob("*.toml"))
    if machine in names:
        return None
    return f"there is no machine {machine!r}: one of {', '.join(names)}, or a .toml file"


def pytest_report_header(config: pytest.Config) -> str:
    from importlib.metadata import version  # noqa: PLC0415 - pytest has it, and not all need it

    settings = config.stash[_settings]
    machines = [str(machine) for machine in settings.machines]
    kept = f"{settings.trace} calls" if settings.trace else "no calls"
    return (
        f"kvmiommu: {version('kvmiommu')}, "
        f"{'machine' if len(machines) == 1 else 'machines'} {', '.join(machines)}, "
        f"a failed test shows {kept}"
    )


# --- which machine --------------------------------------------------------------------------------


def _chosen(node: pytest.Item, config: pytest.Config) -> Sequence[Choice]:
    marker = node.get_closest_marker(_MARKER)
    if marker is None:
        return config.stash[_settings].machines
    if marker.kwargs or not marker.args:
        pytest.fail(
            f"{node.nodeid}: @pytest.mark.{_MARKER} takes one machine or several: "
            f"found {marker.args} {marker.kwargs or ''}".rstrip(),
            pytrace=False,
        )
    for machine in marker.args:
        if why := _unknown(machine):
            pytest.fail(f"{node.nodeid}: @pytest.mark.{_MARKER}: {why}", pytrace=False)
    return tuple(marker.args)


def _id(machine: Choice) -> str:
    if isinstance(machine, str) and not _is_path(machine):
        return machine
    return Path(machine).stem if isinstance(machine, str | Path) else machine.name


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if _MARKER not in metafunc.fixturenames:
        return
    machines = _chosen(metafunc.definition, metafunc.config)
    # Whoever overrides the fixture or gives it values chooses the machine that way, unless the
    # override builds on the machine that it finds.
    _, *overrides = metafunc._arg2fixturedefs.get(_MARKER, (None,))
    if any(each.params or _MARKER not in each.argnames for each in overrides) or any(
        _MARKER in _argnames(mark) for mark in metafunc.definition.iter_markers("parametrize")
    ):
        return
    if len(machines) > 1:
        metafunc.parametrize(_MARKER, machines, indirect=True, ids=map(_id, machines))


def _argnames(mark: pytest.Mark) -> list[object]:
    """The arguments that a test is parametrized with. Whether they are right, pytest says."""
    given = mark.args[0] if mark.args else mark.kwargs.get("argnames", ())
    if isinstance(given, str):
        return [name.strip() for name in given.split(",")]
    return [*given] if isinstance(given, list | tuple) else []


def _only(node: pytest.Item, config: pytest.Config) -> Choice:
    """The machine of a test that pytest could not repeat on each of its machines."""
    machines = _chosen(node, config)
    if len(machines) > 1:
        pytest.fail(
            f"{node.nodeid}: pytest runs this test once, not on each of {len(machines)} machines "
            f"({', '.join(map(_id, machines))}): that takes a function, not a method of a "
            "unittest.TestCase, that has kvmiommu_machine or a fixture which uses it as an "
            "argument, not by getfixturevalue()",
            pytrace=False,
        )
    return machines[0]


# --- what went on ---------------------------------------------------------------------------------


class _Observer:
    """Has a witness look at each machine of the test that runs. Loads it with the first one."""

    def __init__(self, trace: int) -> None:
        self._trace = trace
        self._on = False
        self.witness: Witness | None = None
        #: What models raised in machines that went before any call or close() could raise it.
        self.unclaimed: list[BaseException] = []
        #: The machines that somebody still has.
        self._running: WeakSet[System] = WeakSet()
        #: Those of them that are not closed, in the order in which they were made.
        self._open: WeakKeyDictionary[System, None] = WeakKeyDictionary()

    def begin(self, item: pytest.Item) -> None:
        self.unclaimed.clear()
        # What pytest-benchmark measures is measured as it is.
        self._on = "benchmark" not in getattr(item, "fixturenames", ())
        self.witness = self._new_witness() if self._open else None

    @property
    def records(self) -> bool:
        return self._on and self._trace > 0

    def made(self, system: System) -> None:
        from kvmiommu import _core  # noqa: PLC0415 - whoever made a machine has loaded it

        _core._set_unclaimed_hook(self.unclaimed.append)
        self._running.add(system)
        if self.witness is None:
            self.witness = self._new_witness()
        self.witness.made(system)
        self._open[system] = None

    def _new_witness(self) -> Witness:
        from ._report import Witness  # noqa: PLC0415 - see above

        return Witness(self._trace if self._on else 0, list(self._open))

    def take_model_errors(self) -> list[BaseException]:
        """What models raised where no call of the test's was there to raise it."""
        raised = [*self.unclaimed]
        for system in list(self._running):
            raised += system._take_model_errors()
        return raised

    def closing(self, system: System) -> None:
        self._open.pop(system, None)
        if self.witness is not None:
            self.witness.closing(system)


_observer = pytest.StashKey[_Observer]()


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> Iterator[None]:
    item.config.stash[_observer].begin(item)
    return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item) -> Iterator[None]:
    result = yield
    raised = item.config.stash[_observer].take_model_errors()
    if len(raised) == 1:
        raise raised[0]
    if raised:
        raise BaseExceptionGroup("device models raised", raised)
    return result


def _is_refusal(raised: pytest.ExceptionInfo[BaseException] | None) -> bool:
    errors = sys.modules.get("kvmiommu.errors")
    return raised is not None and errors is not None and isinstance(raised.value, errors.Refusal)


def _end_at_the_call(raised: BaseException | None) -> None:
    """Of a refused call the test's own line is shown; how this package made it says nothing."""
    left, seen = [raised], set[int]()
    while left:
        error = left.pop()
        if error is None or id(error) in seen:
            continue
        seen.add(id(error))
        left += (error.__cause__, error.__context__)
        if isinstance(error, BaseExceptionGroup):
            left += error.exceptions
        for frame, _ in traceback.walk_tb(error.__traceback__):
            if _PACKAGE in Path(frame.f_code.co_filename).parents:
                # pytest asks it of each error whose traceback the module is in.
                frame.f_globals["__tracebackhide__"] = _is_refusal


def _raised(item: pytest.Item, call: pytest.CallInfo[None]) -> list[BaseException]:
    """What the report is about; methods of a unittest.TestCase leave it in the item."""
    kept: list[pytest.ExceptionInfo[BaseException]] = vars(item).get("_excinfo") or []
    return [each.value for each in (*kept, call.excinfo) if each is not None]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    for error in _raised(item, call):
        _end_at_the_call(error)
    report = yield
    witness = item.config.stash[_observer].witness
    if report.failed and witness is not None:
        report.sections += witness.sections(item)
        witness.forget()
    return report


# --- failing allocations --------------------------------------------------------------------------


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item, nextitem: pytest.Item | None) -> bool | None:
    if (marker := item.get_closest_marker(_FAIL_NTH)) is None:
        return None
    from ._fail_nth import run_repetitions  # noqa: PLC0415 - for those who use it

    item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
    run_repetitions(item, marker, nextitem)
    item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
    return True


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    if item.get_closest_marker(_FAIL_NTH) is None or not isinstance(item, pytest.Function):
        return (yield)
    from ._fail_nth import injection_of  # noqa: PLC0415 - see above

    if (injection := injection_of(item)) is None:
        return (yield)
    # Where the test says itself what is under injection, the rest of it is not.
    whole = _FAIL_NTH not in item.fixturenames
    process = cast("Process", item.funcargs["kvmiommu_process"])
    try:
        with injection.over(process) if whole else nullcontext():
            result = yield
    except BaseException as error:
        if not injection.excuses(error):
            raise
        injection.ended = error
        return None
    injection.excuse_kept(item)
    return result


@pytest.fixture
def kvmiommu_fail_nth(
    request: pytest.FixtureRequest, kvmiommu_process: Process
) -> Callable[..., AbstractContextManager[None]]:
    """Which calls of a test that is marked with `kvmiommu_fail_nth` are under injection: those in
    `with kvmiommu_fail_nth():` blocks, of `kvmiommu_process` or of another process that is given.

    Without this fixture it is the whole test, but for its other fixtures.
    """
    if request.node.get_closest_marker(_FAIL_NTH) is None:
        pytest.fail(
            f"the fixture {_FAIL_NTH} needs the marker: @pytest.mark.{_FAIL_NTH}", pytrace=False
        )
    from ._fail_nth import injection_of  # noqa: PLC0415 - see above

    injection = injection_of(request.node)
    assert injection is not None

    def over(process: Process | None = None) -> AbstractContextManager[None]:
        return injection.over(kvmiommu_process if process is None else process)

    return over


# --- fixtures -------------------------------------------------------------------------------------


@pytest.fixture
def kvmiommu_machine(request: pytest.FixtureRequest) -> Machine:
    """The description of the test's machine. Override it for a description of your own."""
    from kvmiommu.machine import Machine, MachineError, load  # noqa: PLC0415 - see above

    chosen: Choice = (
        request.param if hasattr(request, "param") else _only(request.node, request.config)
    )
    if isinstance(chosen, Machine):
        return chosen
    try:
        return load(chosen)
    except MachineError as error:
        wrong = str(error)
    pytest.fail(wrong, pytrace=False)


@pytest.fixture
def kvmiommu_models() -> Mapping[str, Callable[[], DeviceModel]]:
    """The device models of your own (`kvmiommu.pci`) in the test's machine, by the addresses of
    their functions: none. Override it to have some."""
    return {}


@pytest.fixture
def kvmiommu_system(
    kvmiommu_machine: Machine, kvmiommu_models: Mapping[str, Callable[[], DeviceModel]]
) -> Iterator[System]:
    """A running machine of the test's own; closed when the test is over."""
    from kvmiommu import System  # noqa: PLC0415 - see above

    with System(kvmiommu_machine, models=kvmiommu_models) as running:
        yield running


@pytest.fixture
def kvmiommu_process(kvmiommu_system: System) -> Process:
    """A process of user 0 on `kvmiommu_system`."""
    return kvmiommu_system.process()


@pytest.fixture
def vfio_group(kvmiommu_process: Process, kvmiommu_system: System) -> Group:
    """The machine's first group whose devices are all free for VFIO, opened.

    Skips where the machine has none.
    """
    from kvmiommu.vfio import Group  # noqa: PLC0415 - see above

    described = kvmiommu_system.machine
    if not described.modules.vfio:
        pytest.skip(f"{described.name} has no VFIO")
    for number, functions in described.groups().items():
        drivers = {function.driver for function in functions}
        if "vfio-pci" in drivers and drivers <= {"vfio-pci", "", "pcieport"}:
            return Group(kvmiommu_process, number)
    pytest.skip(f"{described.name} has no group whose devices are all free for VFIO")


@pytest.fixture
def vfio_container(
    kvmiommu_process: Process, kvmiommu_system: System, vfio_group: Group
) -> Container:
    """A type1v2 container with `vfio_group` in it, ready to map.

    Skips where the machine's IOMMU has no type 1 (POWER: `kvmiommu.spapr`), or where VFIO refuses
    the group because the machine does not isolate interrupts.
    """
    from kvmiommu.uapi.vfio import VFIO_TYPE1v2_IOMMU  # noqa: PLC0415 - see above
    from kvmiommu.vfio import Container  # noqa: PLC0415

    name = kvmiommu_system.machine.name
    container = Container(kvmiommu_process)
    if not container.check_extension(VFIO_TYPE1v2_IOMMU):
        pytest.skip(f"{name} has no IOMMU of type 1")
    try:
        vfio_group.set_container(container)
        container.set_iommu()
    except PermissionError as refusal:
        pytest.skip(f"{name} keeps group {vfio_group.number} out: {refusal}")
    return container


@pytest.fixture
def kvm_vm(kvmiommu_process: Process, kvmiommu_system: System) -> VM:
    """A virtual machine without memory or devices. Skips where the machine has no KVM."""
    from kvmiommu.kvm import Kvm  # noqa: PLC0415 - see above

    if not kvmiommu_system.machine.modules.kvm:
        pytest.skip(f"{kvmiommu_system.machine.name} has no KVM")
    return Kvm(kvmiommu_process).create_vm()
