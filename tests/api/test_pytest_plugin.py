# SPDX-License-Identifier: MIT
"""The pytest plugin as those see it who have it installed: each test is a run of pytest."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import hypothesis.stateful
import pytest

import kvmiommu

# All that a run within this process loads: what it is the first to load goes with it.
from kvmiommu import System, kvm, machine, pci, vfio

Run = Callable[..., pytest.RunResult]
LOADED = (System, hypothesis.stateful, kvm, machine, pci, vfio)


@pytest.fixture
def run(pytester: pytest.Pytester) -> Run:
    """Runs pytest on a module with this text, within this process."""

    def run(text: str, *arguments: str) -> pytest.RunResult:
        pytester.makepyfile(text)
        return pytester.runpytest_inprocess("-p", "no:cacheprovider", *arguments)

    return run


@pytest.fixture
def run_anew(pytester: pytest.Pytester) -> Run:
    """Runs pytest on a module with this text, in a process of its own."""

    def run(text: str, *arguments: str) -> pytest.RunResult:
        pytester.makepyfile(text)
        return pytester.runpytest_subprocess("-p", "no:cacheprovider", *arguments)

    return run


MACHINE = """
    def test_machine(kvmiommu_system):
        print("on", kvmiommu_system.machine.name)
"""


# --- options --------------------------------------------------------------------------------------


def test_help_has_a_section(run_anew: Run) -> None:
    shown = run_anew("", "--help").stdout.str()
    section = shown[shown.index("\nkvmiommu: emulated machines") :]
    assert "--kvmiommu-machine=MACHINE" in section
    assert "--kvmiommu-trace=N" in section
    assert re.search(r"^  kvmiommu_machine \(linelist\):", shown, re.MULTILINE)
    assert re.search(r"^  kvmiommu_trace \(string\):", shown, re.MULTILINE)


def test_the_markers_are_registered(run: Run) -> None:
    run("", "--markers").stdout.fnmatch_lines(["@pytest.mark.kvmiommu_machine(?machines): *"])


def test_the_header_says_which_machine(run: Run) -> None:
    run("", "--kvmiommu-trace=5").stdout.fnmatch_lines(
        ["kvmiommu: *, machine q35-intel, a failed test shows 5 calls"]
    )


def test_nothing_is_loaded_until_a_test_asks(run_anew: Run) -> None:
    loaded = """
        import sys

        def names():
            return {name for name in sys.modules if name.partition(".")[0] == "kvmiommu"}

        def test_before():
            plugin = {"kvmiommu", "kvmiommu._observers", "kvmiommu.testing"}
            assert names() == plugin | {"kvmiommu.testing.plugin"}

        def test_with(kvmiommu_machine):
            assert "kvmiommu.machine" in names()
    """
    run_anew(loaded, "--kvmiommu-machine=q35-amd").assert_outcomes(passed=2)


@pytest.mark.parametrize("where", ["option", "ini"])
def test_an_unknown_machine_is_a_usage_error_that_lists_the_names(
    pytester: pytest.Pytester, where: str
) -> None:
    if where == "ini":
        pytester.makeini("[pytest]\nkvmiommu_machine = q35-intl")
    result = pytester.runpytest_inprocess(
        *(["--kvmiommu-machine=q35-intl"] if where == "option" else [])
    )
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    for name in (*machine.names(), "there is no machine 'q35-intl'"):
        result.stderr.fnmatch_lines([f"ERROR: *kvmiommu?machine: *{name}*"])


def test_a_file_that_is_not_there_is_a_usage_error(pytester: pytest.Pytester) -> None:
    result = pytester.runpytest_inprocess("--kvmiommu-machine=./mine.toml")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: --kvmiommu-machine: there is no file *mine.toml*"])


@pytest.mark.parametrize("given", ["-1", "many"])
def test_a_trace_that_is_no_number_is_a_usage_error(pytester: pytest.Pytester, given: str) -> None:
    pytester.makeini(f"[pytest]\nkvmiommu_trace = {given}")
    result = pytester.runpytest_inprocess()
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"ERROR: kvmiommu_trace: '{given}' is no number of calls*"])


def test_the_option_goes_before_the_ini_key(pytester: pytest.Pytester) -> None:
    pytester.makeini("[pytest]\nkvmiommu_machine = q35-amd")
    pytester.makepyfile(MACHINE)
    pytester.runpytest_inprocess("-s").stdout.fnmatch_lines(["*on q35-amd*"])
    option = pytester.runpytest_inprocess("-s", "--kvmiommu-machine=q35-virtio")
    option.stdout.fnmatch_lines(["*on q35-virtio*"])


def test_a_file_in_the_ini_file_is_beside_it(pytester: pytest.Pytester) -> None:
    pytester.makeini("[pytest]\nkvmiommu_machine = board.toml")
    text = machine.load("q35-amd").text().replace('"q35-amd"', '"board"')
    (pytester.path / "board.toml").write_text(text, encoding="utf-8")
    tests = pytester.mkdir("tests")
    (tests / "test_it.py").write_text(
        "def test_machine(kvmiommu_system):\n    assert kvmiommu_system.machine.name == 'board'\n"
    )
    pytester.runpytest_inprocess(tests).assert_outcomes(passed=1)


def test_the_plugin_can_be_left_out(run_anew: Run) -> None:
    result = run_anew("def test_none(kvmiommu_system): pass", "-p", "no:kvmiommu")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*fixture 'kvmiommu_system' not found*"])
    result.stdout.no_fnmatch_line("kvmiommu: *")


# --- machines -------------------------------------------------------------------------------------


def test_several_machines_run_a_test_on_each(run: Run) -> None:
    result = run(MACHINE, "-v", "--kvmiommu-machine=q35-amd", "--kvmiommu-machine=q35-intel")
    result.stdout.fnmatch_lines(
        ["*::test_machine?q35-amd? PASSED*", "*::test_machine?q35-intel? PASSED*"]
    )


def test_a_marker_runs_a_test_on_several_machines_and_goes_before_the_option(run: Run) -> None:
    marked = """
        from pathlib import Path

        import pytest
        from kvmiommu import machine

        BOARD = Path(__file__).with_name("board.toml")
        BOARD.write_text(machine.load("q35-amd").text())
        ran = []

        @pytest.mark.kvmiommu_machine("q35-intel", BOARD, machine.load("q35-virtio"))
        def test_machine(kvmiommu_system):
            ran.append(kvmiommu_system.machine.name)

        @pytest.mark.kvmiommu_machine("powernv9")
        class TestOne:
            def test_class(self, kvmiommu_system):
                ran.append(kvmiommu_system.machine.name)

            @pytest.mark.kvmiommu_machine("pseries")
            def test_closest(self, kvmiommu_system):
                ran.append(kvmiommu_system.machine.name)

        def test_all():
            assert ran == ["q35-intel", "q35-amd", "q35-virtio", "powernv9", "pseries"]
    """
    result = run(marked, "-v", "--kvmiommu-machine=q35-amd")
    result.assert_outcomes(passed=6)
    for name in ("q35-intel", "board", "q35-virtio"):
        result.stdout.fnmatch_lines([f"*::test_machine?{name}? PASSED*"])
    result.stdout.fnmatch_lines(["*::test_class PASSED*"])


@pytest.mark.parametrize(
    ("marker", "message"),
    [
        ("", "takes one machine or several: found ()"),
        ("()", "takes one machine or several: found ()"),
        ("(machine='q35-intel')", "takes one machine or several: found () {'machine': *"),
        ("('q35-intl')", "there is no machine 'q35-intl': one of powernv9, *"),
        ("('none.toml')", "there is no file 'none.toml'"),
        ("(3)", "3 is not a machine: a name, a path or a kvmiommu.machine.Machine"),
    ],
)
def test_a_wrong_marker_is_an_error_that_says_what_it_takes(
    run: Run, marker: str, message: str
) -> None:
    result = run(
        f"""
        import pytest

        @pytest.mark.kvmiommu_machine{marker}
        def test_marked(kvmiommu_system):
            pass
        """
    )
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines([f"*::test_marked: @pytest.mark.kvmiommu_machine*{message}*"])
    result.stdout.no_fnmatch_line("*Traceback*")


def test_a_wrong_description_fails_the_test_with_its_mistake(run: Run) -> None:
    result = run(
        """
        from pathlib import Path

        import pytest

        BOARD = Path(__file__).with_name("board.toml")
        BOARD.write_text("[machine]\\nname = 3\\n")

        @pytest.mark.kvmiommu_machine(BOARD)
        def test_marked(kvmiommu_system):
            pass
        """
    )
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*board.toml:2: machine.name: *"])


def test_who_overrides_the_machine_chooses_it(run: Run) -> None:
    overridden = """
        from dataclasses import replace

        import pytest
        from kvmiommu import machine

        @pytest.fixture(params=["q35-intel", "q35-amd"])
        def kvmiommu_machine(request):
            return replace(machine.load(request.param), name="mine-" + request.param)

        def test_machine(kvmiommu_system):
            assert kvmiommu_system.machine.name.startswith("mine-")
    """
    several = ("--kvmiommu-machine=q35-amd", "--kvmiommu-machine=q35-virtio")
    run(overridden, *several).assert_outcomes(passed=2)


def test_a_test_may_be_parametrized_with_machines(run: Run) -> None:
    parametrized = """
        import pytest

        @pytest.mark.parametrize("kvmiommu_machine", ["q35-amd", "q35-virtio"], indirect=True)
        def test_machine(kvmiommu_system, request):
            assert kvmiommu_system.machine.name == request.node.callspec.id
    """
    run(parametrized).assert_outcomes(passed=2)


def test_a_parameter_with_a_similar_name_leaves_the_machines_alone(run: Run) -> None:
    similar = """
        import pytest

        @pytest.mark.parametrize("my_kvmiommu_machine", [1])
        @pytest.mark.kvmiommu_machine("q35-amd", "q35-virtio")
        def test_machine(kvmiommu_system, my_kvmiommu_machine):
            print("on", kvmiommu_system.machine.name)
    """
    result = run(similar, "-s")
    result.assert_outcomes(passed=2)
    result.stdout.fnmatch_lines_random(["*on q35-amd*", "*on q35-virtio*"])


@pytest.mark.parametrize(
    "arguments",
    [
        'argnames="kvmiommu_machine", argvalues=["q35-amd"], indirect=True',
        '["one", "kvmiommu_machine"], [(1, "q35-amd")], indirect=["kvmiommu_machine"]',
        '"one, kvmiommu_machine", [(1, "q35-amd")], indirect=["kvmiommu_machine"]',
    ],
)
def test_parameters_may_be_given_in_all_of_pytests_ways(run: Run, arguments: str) -> None:
    parametrized = f"""
        import pytest

        @pytest.mark.parametrize({arguments})
        def test_machine(kvmiommu_system, {"one" if "one" in arguments else "request"}):
            assert kvmiommu_system.machine.name == "q35-amd"

        @pytest.mark.parametrize(argnames="x", argvalues=[1, 2])
        def test_other(kvmiommu_system, x):
            assert x
    """
    several = ("--kvmiommu-machine=q35-intel", "--kvmiommu-machine=q35-virtio")
    run(parametrized, *several).assert_outcomes(passed=5)


def test_an_override_that_builds_on_the_machine_runs_on_each(run: Run) -> None:
    overridden = """
        from dataclasses import replace

        import pytest

        @pytest.fixture
        def kvmiommu_machine(kvmiommu_machine):
            return replace(kvmiommu_machine, memory=1 << 30)

        @pytest.mark.kvmiommu_machine("q35-amd", "q35-virtio")
        def test_machine(kvmiommu_system, request):
            assert kvmiommu_system.machine.name == request.node.callspec.id
            assert kvmiommu_system.machine.memory == 1 << 30
    """
    run(overridden).assert_outcomes(passed=2)


@pytest.mark.parametrize(
    "text",
    [
        """
        import unittest

        class TestMachine(unittest.TestCase):
            @pytest.fixture(autouse=True)
            def set_up(self, kvmiommu_system):
                pass

            @BOTH
            def test_machine(self):
                pass
        """,
        """
        @BOTH
        def test_machine(request):
            request.getfixturevalue("kvmiommu_system")
        """,
    ],
)
def test_a_test_that_cannot_run_on_all_of_its_machines_does_not_pass(run: Run, text: str) -> None:
    head = """
        import pytest

        BOTH = pytest.mark.kvmiommu_machine("q35-amd", "q35-virtio")
    """
    result = run(head + text)
    outcomes = result.parseoutcomes()
    assert "passed" not in outcomes
    result.stdout.fnmatch_lines(["*runs this test once, not on each of 2 machines (q35-amd, *"])
    # On one machine each of them runs.
    run(head.replace(', "q35-virtio"', "") + text).assert_outcomes(passed=1)


def test_a_model_of_ones_own_is_in_the_machine_and_its_assertion_fails_the_test(run: Run) -> None:
    result = run(
        """
        import struct

        import pytest
        from kvmiommu import pci

        class Model(pci.DeviceModel):
            bars = {0: pci.Bar(4096)}

            def write(self, bar, offset, size, value):
                assert value == 1, "the driver wrote something else"

        @pytest.fixture
        def kvmiommu_models():
            return {"0000:00:02.0": Model}

        @pytest.mark.parametrize("value", [1, 2])
        def test_driver(vfio_container, vfio_group, value):
            device = vfio_group.get_device("0000:00:02.0")
            device.write(7, 4, struct.pack("<H", 2))
            device.write(0, 0, struct.pack("<I", value))
        """
    )
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(["E *the driver wrote something else*"])


# --- what a machine cannot do ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "fixture", "reason"),
    [
        ("modules=machine.Modules(vfio=False), pci=()", "vfio_group", "q35-intel has no VFIO"),
        ("modules=machine.Modules(kvm=False)", "kvm_vm", "q35-intel has no KVM"),
        ("pci=()", "vfio_group", "q35-intel has no group whose devices are all free for VFIO"),
        (
            "iommus=tuple(replace(each, isolated_msi=False) for each in BOARD.iommus)",
            "vfio_container",
            "q35-intel keeps group 1 out: *",
        ),
    ],
)
def test_a_machine_that_cannot_do_it_skips_the_test_with_the_reason(
    run: Run, change: str, fixture: str, reason: str
) -> None:
    result = run(
        f"""
        from dataclasses import replace

        import pytest
        from kvmiommu import machine

        BOARD = machine.load("q35-intel")

        @pytest.mark.kvmiommu_machine(replace(BOARD, {change}))
        def test_it({fixture}):
            pass
        """,
        "-rs",
    )
    result.assert_outcomes(skipped=1)
    result.stdout.fnmatch_lines([f"SKIPPED * {reason}"])


@pytest.mark.parametrize("name", machine.names())
def test_each_machine_has_a_group_and_a_vm_and_type_1_unless_it_is_power(
    run: Run, name: str
) -> None:
    result = run(
        """
        def test_group(vfio_group, kvm_vm):
            assert vfio_group.get_status() & 1

        def test_container(vfio_container, kvmiommu_process):
            size = kvmiommu_process.page_size
            vfio_container.map_dma(0, kvmiommu_process.mmap(size, 3, 0x22), size)
        """,
        f"--kvmiommu-machine={name}",
        "-rs",
    )
    if machine.load(name).abi == "power":
        result.assert_outcomes(passed=1, skipped=1)
        result.stdout.fnmatch_lines([f"SKIPPED * {name} has no IOMMU of type 1"])
    else:
        result.assert_outcomes(passed=2)


# --- what a failed test shows ---------------------------------------------------------------------

FAILING = """
    from kvmiommu import System, vfio

    def test_it(vfio_container, kvmiommu_process):
        buffer = kvmiommu_process.mmap(0x4000, 3, 0x22)
        vfio_container.map_dma(0x100000, buffer, 0x4000)
        with System("q35-amd") as other:
            vfio.Container(other.process()).get_api_version()
        vfio_container.map_dma(0x100000, buffer, 0x4000)
"""


def test_a_failed_test_shows_the_last_calls_of_each_of_its_machines(run: Run) -> None:
    result = run(FAILING)
    result.assert_outcomes(failed=1)
    result.stdout.re_match_lines(
        [
            r"-+ kvmiommu machine 1 of 2: q35-intel -+",
            r"the last calls:",
            r" *\d+ \[1\] ioctl\(\d+, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU\) = 0",
            r" *\d+ \[1\] ioctl\(\d+, .*VFIO_IOMMU_MAP_DMA, .*EEXIST.*meet the mapping.*",
            r"mapped for devices at the end:",
            r"container: 0x100000-0x103fff rw buf",
            r"to make the calls again:",
            r"ioctl container VFIO_IOMMU_MAP_DMA .* u64:0x100000 u64:0x4000",
            r"  = -EEXIST",
            r"-+ kvmiommu machine 2 of 2: q35-amd -+",
            r" *\d+ \[1\] ioctl\(\d+, VFIO_GET_API_VERSION, 0\) = 0",
        ],
    )


def test_all_that_is_mapped_is_shown_as_it_is(run: Run) -> None:
    text = """
    def test_it(vfio_container, kvmiommu_process):
        a, b = (kvmiommu_process.mmap(0x4000, 3, 0x22) for _ in range(2))
        vfio_container.map_dma(a, a, 0x1000)
        vfio_container.map_dma(b + 0x1000, b + 0x1000, 0x2000)
        vfio_container.unmap_dma(a, 0x1000)
        vfio_container.map_dma(0x100000, a, 0x1000, write=False)
        vfio_container.invalidate_vaddr(0x100000, 0x1000)
        vfio_container.update_vaddr(0x100000, b, 0x1000)
        print("at", hex(b + 0x1000) + "-" + hex(b + 0x2fff))
        assert False
    """
    lines = run(text).outlines
    begin = lines.index("mapped for devices at the end:") + 1
    (place,) = (line.split()[1] for line in lines if line.startswith("at "))
    assert lines[begin : begin + 3] == [
        "container: 0x100000-0x100fff r buf2",
        f"container: {place} rw buf2+0x1000",
        "",
    ]


@pytest.mark.parametrize("scope", ["class", "module", "session"])
def test_a_test_on_a_shared_machine_shows_it_when_it_made_a_call(run: Run, scope: str) -> None:
    text = f"""
    import pytest
    from kvmiommu import System

    @pytest.fixture(scope="{scope}")
    def shared():
        with System("q35-amd") as system:
            yield system.process()

    class TestIt:
        def test_first(self, shared):
            shared.eventfd()
            assert False

        def test_second(self, shared, kvmiommu_process):
            kvmiommu_process.memfd_create("own")
            shared.memfd_create("second")
            assert False

        def test_other(self):
            assert False
    """
    result = run(text)
    result.assert_outcomes(failed=3)
    result.stdout.re_match_lines(
        [
            r"_+ TestIt.test_first _+",
            r"-+ kvmiommu machine: q35-amd -+",
            r"_+ TestIt.test_second _+",
            r"-+ kvmiommu machine 1 of 2: q35-amd -+",
            r"the last calls:",
            r".*memfd_create\(\"second\", 0\) = \d+",
            r"eventfd eventfd",
            r"memfd memfd 0",
            r"-+ kvmiommu machine 2 of 2: q35-intel -+",
            r".*memfd_create\(\"own\", 0\) = \d+",
            r"_+ TestIt.test_other _+",
        ]
    )
    *_, rest = result.stdout.str().partition("_ TestIt.test_other _")
    assert "kvmiommu machine" not in rest


def test_a_refused_call_is_shown_at_the_line_of_the_test(run: Run) -> None:
    text = """
        import errno

        def test_map(vfio_container):
            vfio_container.map_dma(0x1001, 0, 4096)
    """
    shown = run(text).stdout.str()
    assert (
        ">       vfio_container.map_dma(0x1001, 0, 4096)\nE       kvmiommu.errors.Refusal" in shown
    )
    assert "recording.py" not in shown
    assert "recording.py" in run(text, "--full-trace").stdout.str()


@pytest.mark.parametrize(
    "text",
    [
        """
        import unittest

        class TestMap(unittest.TestCase):
            @pytest.fixture(autouse=True)
            def fixtures(self, vfio_container):
                self.container = vfio_container

            def test_map(self):
                self.container.map_dma(0x1001, 0, 4096)
        """,
        """
        def test_map(vfio_container):
            try:
                vfio_container.map_dma(0x1001, 0, 4096)
            except OSError as refusal:
                raise KeyError("of my own") from refusal
        """,
        """
        def test_map(vfio_container):
            try:
                vfio_container.map_dma(0x1001, 0, 4096)
            finally:
                raise KeyError("of my own")
        """,
    ],
)
def test_a_refused_call_is_shown_at_the_line_of_the_test_wherever_it_ends_up(
    run: Run, text: str
) -> None:
    head = """
        import pytest
    """
    result = run(head + text)
    result.assert_outcomes(failed=1)
    shown = result.stdout.str()
    assert re.search(r"container\.map_dma\(0x1001, 0, 4096\)\n(\s*\n)?(E|.*py:\d+)", shown)
    assert "recording.py" not in shown


def test_the_calls_of_a_failed_test_can_be_replayed(run: Run) -> None:
    result = run(FAILING)
    lines = result.outlines
    command = lines[lines.index("to make the calls again:") + 1].split()
    assert command[:4] == ["kvmiommu", "replay", "--machine", "q35-intel"]
    replayed = subprocess.run(
        [sys.executable, "-m", *command], capture_output=True, text=True, check=False
    )
    assert replayed.returncode == 0, replayed.stdout
    assert " 0 differences" in replayed.stdout


def test_each_failed_test_has_a_transcript_of_its_own(run: Run) -> None:
    text = f"""
        import pytest

        @pytest.mark.parametrize("name", ["a/b", "a-b", "a b", {"x" * 130!r}, {"y" + "x" * 130!r}])
        def test_it(kvmiommu_process, name):
            for _ in range(1 + len(name) % 7):
                kvmiommu_process.eventfd()
            print("made", 1 + len(name) % 7)
            kvmiommu_process.memfd_create("of-" + name[0])
            assert False
    """
    result = run(text)
    result.assert_outcomes(failed=5)
    commands = [line.split() for line in result.outlines if line.startswith("  kvmiommu replay ")]
    files = [Path(command[-1]) for command in commands]
    assert len({*files}) == 5
    made = [int(line.split()[1]) for line in result.outlines if line.startswith("made ")]
    assert [file.read_text(encoding="utf-8").count("eventfd eventfd") for file in files] == made


def test_a_machine_of_ones_own_is_written_beside_its_calls(run: Run) -> None:
    result = run(
        """
        from dataclasses import replace

        import pytest
        from kvmiommu import machine

        BOARD = replace(machine.load("q35-amd"), memory=1 << 30)

        @pytest.mark.kvmiommu_machine(BOARD)
        def test_it(vfio_container):
            vfio_container.set_iommu()
        """
    )
    lines = result.outlines
    command = lines[lines.index("to make the calls again:") + 1].split()
    assert machine.load(command[3]).memory == 1 << 30
    replayed = subprocess.run(
        [sys.executable, "-m", *command], capture_output=True, text=True, check=False
    )
    assert replayed.returncode == 0, replayed.stdout


def test_a_failed_test_shows_faults_and_stale_uses(run: Run) -> None:
    result = run(
        """
        import struct
        from dataclasses import replace

        import pytest
        from kvmiommu import machine, pci

        BOARD = machine.load("q35-intel")
        LAZY = replace(BOARD, options={**BOARD.options, "iommu.strict": False})

        class Model(pci.DeviceModel):
            pass

        @pytest.fixture
        def kvmiommu_models():
            return {"0000:00:02.0": Model}

        @pytest.mark.kvmiommu_machine(LAZY)
        def test_it(vfio_container, vfio_group, kvmiommu_process, kvmiommu_system):
            buffer = kvmiommu_process.mmap(0x4000, 3, 0x22)
            vfio_group.get_device("0000:00:02.0").write(7, 4, struct.pack("<H", 4))
            model = kvmiommu_system.models["0000:00:02.0"]
            vfio_container.map_dma(0x100000, buffer, 0x4000)
            model.dma_read(0x100000, 4)
            vfio_container.unmap_dma(0x100000, 0x4000)
            model.dma_read(0x100000, 4)
            for page in range(12):
                try:
                    model.dma_read(0x200000 + (page << 12), 4)
                except OSError:
                    pass
            assert not kvmiommu_system.dma_faults()
        """
    )
    result.assert_outcomes(failed=1)
    result.stdout.re_match_lines(
        [
            r"DMA that was refused \(the last 10 of 12\):",
            r" *\d+ 0000:00:02.0 read 0x202000: not mapped",
            r"uses of stale translations:",
            r" *\d+ 0000:00:02.0 read 0x100000: unmap 1 of 0x100000-0x103fff is not .*",
        ]
    )
    result.stdout.no_fnmatch_line("mapped for devices*")


def test_a_long_transcript_is_in_its_file_alone_and_the_calls_are_as_many_as_asked(
    run: Run,
) -> None:
    text = """
    def test_it(vfio_container):
        for _ in range(30):
            vfio_container.get_api_version()
        assert False
    """
    result = run(text, "--kvmiommu-trace=3")
    shown = [line for line in result.outlines if "VFIO_GET_API_VERSION" in line]
    assert len(shown) == 3
    (command,) = (line for line in result.outlines if line.startswith("  kvmiommu replay "))
    written = Path(command.split()[-1]).read_text(encoding="utf-8")
    assert written.count("VFIO_GET_API_VERSION") == 30


@pytest.mark.parametrize("arguments", [("--kvmiommu-trace=0",), ("-p", "no:kvmiommu")])
def test_nothing_is_shown_where_nothing_is_kept(run_anew: Run, arguments: tuple[str, ...]) -> None:
    text = """
    from kvmiommu import System

    def test_it():
        with System("q35-amd") as system:
            system.process()
            assert system._recorder is not None, 'nothing'
    """
    result = run_anew(text, *arguments)
    result.assert_outcomes(failed=1)
    result.stdout.no_fnmatch_line("*kvmiommu machine*")


def test_a_passed_test_shows_nothing(run: Run) -> None:
    result = run("def test_it(vfio_container): vfio_container.get_api_version()", "-rP")
    result.assert_outcomes(passed=1)
    result.stdout.no_fnmatch_line("*kvmiommu machine*")


def test_a_benchmark_is_measured_without_a_record_of_its_calls(run_anew: Run) -> None:
    text = """
    def test_it(kvmiommu_system, benchmark):
        assert kvmiommu_system._recorder is None
        benchmark(int)
    """
    run_anew(text, "--benchmark-disable").assert_outcomes(passed=1)


def test_of_many_machines_the_last_ones_are_shown_though_they_are_gone(run: Run) -> None:
    text = """
    from kvmiommu import System, vfio

    def test_it():
        for _ in range(9):
            with System("q35-amd") as system:
                vfio.Container(system.process()).get_api_version()
        assert False
    """
    lines = run(text).outlines
    shown = [line.strip("- ") for line in lines if "kvmiommu machine" in line]
    assert shown == [f"kvmiommu machine {number} of 9: q35-amd" for number in (6, 7, 8, 9)]
    assert sum("VFIO_GET_API_VERSION, 0) = 0" in line for line in lines) == 4


def test_a_machine_is_not_kept_for_the_report(run: Run) -> None:
    text = """
    import gc
    import weakref

    from kvmiommu import System

    def test_it():
        system = System("q35-amd")
        gone = weakref.ref(system)
        del system
        gc.collect()
        assert gone() is None
    """
    run(text).assert_outcomes(passed=1)


def test_a_view_that_is_kept_is_no_leak(run: Run) -> None:
    text = """
    KEPT = []

    def test_it(vfio_container, kvmiommu_process):
        buffer = kvmiommu_process.mmap(0x1000, 3, 0x22)
        vfio_container.map_dma(0, buffer, 0x1000)
        KEPT.append(kvmiommu_process.view(buffer, 0x1000))

    def test_it_is_there():
        KEPT[0][0] = 1
    """
    run(text).assert_outcomes(passed=2)


# --- failing allocations --------------------------------------------------------------------------

FAIL_NTH = """
    import pytest
    from kvmiommu.kvm import Kvm

    pytestmark = pytest.mark.kvmiommu_fail_nth
    PAGE = 4096
"""


def test_a_test_is_repeated_until_no_allocation_fails(run: Run) -> None:
    result = run(
        FAIL_NTH
        + """
    begun = []

    def test_map(vfio_container, kvmiommu_process, kvmiommu_system):
        begun.append(kvmiommu_system)
        vfio_container.map_dma(0, kvmiommu_process.mmap(PAGE, 3, 0x22), PAGE)

    @pytest.fixture
    def fresh():
        return begun

    @pytest.mark.kvmiommu_machine("q35-amd")
    def test_nothing_to_fail(kvmiommu_process, kvmiommu_system):
        assert len(begun) > 3
        assert len({id(system) for system in begun}) == len(begun)
        assert kvmiommu_process.uid == 0
        """,
        "-rP",
    )
    result.assert_outcomes(passed=2)
    result.stdout.re_match_lines(
        [
            r"-+ kvmiommu_fail_nth: repetition \d+ -+",
            r"failing allocations that ended the test with a refusal: 1, 2, 3.*",
            r"-+ kvmiommu_fail_nth: repetition 1 -+",
            r"no allocation could be made to fail",
        ]
    )


def test_a_failing_repetition_says_which_allocations_the_test_does_not_survive(run: Run) -> None:
    result = run(
        FAIL_NTH
        + """
    def test_map(vfio_container, kvmiommu_process):
        buffer = kvmiommu_process.mmap(PAGE, 3, 0x22)
        try:
            vfio_container.map_dma(0, buffer, PAGE)
        except OSError:
            if is_the_first():
                return
        assert vfio_container.unmap_all() == PAGE

    runs = []

    def is_the_first():
        runs.append(0)
        return len(runs) == 1
        """
    )
    result.assert_outcomes(failed=1)
    result.stdout.re_match_lines(
        [
            r"E +assert 0 == 4096",
            r"-+ kvmiommu_fail_nth: repetition 2 -+",
            r"failing allocations with which the test fails: 2, 3.*",
            r"failing allocations that the test survived: 1",
        ]
    )


def test_a_failing_repetition_has_its_own_transcript(run: Run) -> None:
    result = run(
        FAIL_NTH
        + """
    def test_map(vfio_container, kvmiommu_process):
        try:
            vfio_container.map_dma(0, kvmiommu_process.mmap(PAGE, 3, 0x22), PAGE)
        except OSError:
            assert False, "it ends here"
    """
    )
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["failing allocations with which the test fails: 1, 2*"])
    (command,) = (line for line in result.outlines if line.startswith("  kvmiommu replay "))
    assert "fail 1\n" in Path(command.split()[-1]).read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "error", ["OSError(28, 'no space')", "MemoryError()", "AssertionError('wrong')"]
)
def test_only_enomem_ends_a_repetition(run: Run, error: str) -> None:
    text = f"""
    def test_create(kvmiommu_process):
        try:
            Kvm(kvmiommu_process).create_vm()
        except OSError:
            raise {error} from None
    """
    run(FAIL_NTH + text).assert_outcomes(failed=1)


def test_the_marker_says_what_else_may_end_a_repetition(run: Run) -> None:
    run(
        """
        import pytest
        from kvmiommu.kvm import Kvm

        class Failed(Exception):
            pass

        @pytest.mark.kvmiommu_fail_nth(raises=Failed)
        def test_create(kvmiommu_process):
            try:
                Kvm(kvmiommu_process).create_vm()
            except OSError as refused:
                raise Failed from refused

        @pytest.mark.kvmiommu_fail_nth(raises=Failed)
        def test_without_cause(kvmiommu_process):
            raise Failed
        """
    ).assert_outcomes(passed=1, failed=1)


def test_enomem_without_a_failing_allocation_fails_the_test(run: Run) -> None:
    text = """
    def test_map(kvmiommu_process):
        raise OSError(12, "of its own")
    """
    result = run(FAIL_NTH + text)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["repetition 1 met no failing allocation, and failed"])


def test_what_is_left_by_a_repetition_fails_the_test(run: Run) -> None:
    text = """
    @pytest.fixture
    def vmm():
        refused = []
        yield refused
        assert not refused, "it is left half made"

    def test_create(vmm, kvmiommu_process):
        try:
            Kvm(kvmiommu_process).create_vm()
        except OSError:
            vmm.append("half")
    """
    result = run(FAIL_NTH + text)
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines(["*it is left half made*", "*with which the test fails: 1"])


def test_blocks_say_what_is_under_injection(run: Run) -> None:
    result = run(
        FAIL_NTH
        + """
    def test_create(kvmiommu_process, kvmiommu_fail_nth, kvmiommu_system):
        other = kvmiommu_system.process()
        Kvm(kvmiommu_process).create_vm()
        for process in (kvmiommu_process, other):
            kvm = Kvm(process)
            alive = sorted(kvmiommu_system.alive)
            try:
                with kvmiommu_fail_nth(process):
                    kvm.create_vm()
            except OSError:
                assert sorted(kvmiommu_system.alive) == alive
        Kvm(kvmiommu_process).create_vm()

    def test_nothing(kvmiommu_process, kvmiommu_fail_nth):
        Kvm(kvmiommu_process).create_vm()
        with kvmiommu_fail_nth():
            pass
        """,
        "-rP",
    )
    result.assert_outcomes(passed=2)
    result.stdout.re_match_lines(
        [
            r"failing allocations that the test survived: 1, 2(, \d+)*$",
            r"no allocation could be made to fail",
        ]
    )
    result.stdout.no_fnmatch_line("*ended the test*")


def test_a_test_that_always_meets_another_failure_reaches_the_limit(run: Run) -> None:
    result = run(
        """
        import contextlib

        import pytest
        from kvmiommu.kvm import Kvm

        @pytest.mark.kvmiommu_fail_nth(limit=3)
        def test_forever(kvmiommu_process):
            while kvmiommu_process.fail_nth:
                with contextlib.suppress(OSError):
                    Kvm(kvmiommu_process).create_vm()
        """
    )
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["none of 3 repetitions was without a failing allocation*"])


def test_a_repetition_that_ended_with_a_refusal_has_not_failed_at_the_limit(run: Run) -> None:
    text = """
        import pytest

        @pytest.mark.kvmiommu_fail_nth(limit=2)
        def test_map(vfio_container, kvmiommu_process):
            vfio_container.map_dma(0, kvmiommu_process.mmap(4096, 3, 0x22), 4096)
    """
    result = run(text)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [
            "failing allocations that ended the test with a refusal: 1, 2",
            "none of 2 repetitions was without a failing allocation (limit)",
        ]
    )
    result.stdout.no_fnmatch_line("*with which the test fails*")


def test_a_method_of_a_test_case_is_repeated(run: Run) -> None:
    result = run(
        FAIL_NTH
        + """
    import unittest

    class TestMap(unittest.TestCase):
        @pytest.fixture(autouse=True)
        def fixtures(self, vfio_container, kvmiommu_process):
            self.container, self.process = vfio_container, kvmiommu_process

        def test_clean(self):
            self.container.map_dma(0, self.process.mmap(PAGE, 3, 0x22), PAGE)

        def test_wrong(self):
            try:
                self.container.map_dma(0, self.process.mmap(PAGE, 3, 0x22), PAGE)
            except OSError:
                self.fail("it is not ready for this")
    """,
        "-rP",
    )
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.re_match_lines(
        [
            r"failing allocations with which the test fails: 1, 2, 3.*",
            r"failing allocations that ended the test with a refusal: 1, 2, 3.*",
        ]
    )


@pytest.mark.parametrize(
    ("errors", "outcome"),
    [
        ("refused", "passed"),
        ("refused, ExceptionGroup('more', [refused])", "passed"),
        ("refused, KeyError()", "failed"),
    ],
)
def test_refusals_of_several_tasks_may_end_a_repetition(
    run: Run, errors: str, outcome: str
) -> None:
    text = f"""
    def test_create(kvmiommu_process):
        try:
            Kvm(kvmiommu_process).create_vm()
        except OSError as refused:
            raise ExceptionGroup("tasks", [{errors}])
    """
    run(FAIL_NTH + text).assert_outcomes(**{outcome: 1})


def test_an_expected_failure_is_one_of_a_repetition_and_no_refusal(run: Run) -> None:
    result = run(
        FAIL_NTH
        + """
    @pytest.mark.xfail(strict=True)
    def test_fails_when_nothing_else_does(kvmiommu_process):
        Kvm(kvmiommu_process).create_vm()
        assert False

    @pytest.mark.xfail(strict=True)
    def test_fails_when_an_allocation_does(kvmiommu_process):
        try:
            Kvm(kvmiommu_process).create_vm()
        except OSError:
            assert False

    @pytest.mark.xfail(strict=True)
    def test_never_fails(kvmiommu_process):
        Kvm(kvmiommu_process).create_vm()
    """
    )
    result.assert_outcomes(xfailed=2, failed=1)
    result.stdout.fnmatch_lines(["[[]XPASS(strict)*", "FAILED *test_never_fails*"])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("def test_it(): pass", "*uses neither kvmiommu_process nor kvmiommu_fail_nth"),
        (
            "@pytest.mark.kvmiommu_fail_nth(3)\n    def test_it(kvmiommu_process): pass",
            "*takes raises=?, limit=?: found (3,) {}",
        ),
        *(
            (
                f"@pytest.mark.kvmiommu_fail_nth({given})\n    def test_it(kvmiommu_process): pass",
                message,
            )
            for given, message in (
                ("limit=0", "*takes limit=? from 1 on: found 0"),
                ("limit='a'", "*takes limit=? from 1 on: found 'a'"),
                ("raises='MyError'", "*takes raises=? an exception class *: found 'MyError'"),
                ("raises=[KeyError]", "*takes raises=? an exception class *: found [[]<class *"),
            )
        ),
        (
            "@given(st.booleans())\n    def test_it(kvmiommu_process, value): pass",
            "*have it draw from kvmiommu.testing.strategies.fail_nth()",
        ),
    ],
)
def test_a_marker_that_cannot_work_says_why(run: Run, text: str, message: str) -> None:
    hypothesis = "    from hypothesis import given, strategies as st\n    "
    result = run(FAIL_NTH + hypothesis + text)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines([message])


def test_a_mistaken_marker_leaves_other_tests_alone(pytester: pytest.Pytester) -> None:
    mistaken = """
        import pytest

        @pytest.fixture(scope="module", autouse=True)
        def shared():
            yield
            print("the module is over")

        def test_before():
            pass

        @pytest.mark.kvmiommu_fail_nth(3)
        def test_mistaken(kvmiommu_process):
            pass
    """
    pytester.makepyfile(test_a=mistaken, test_b="def test_innocent(): pass")
    result = pytester.runpytest_inprocess("-p", "no:cacheprovider", "-s")
    result.assert_outcomes(passed=2, failed=1)
    result.stdout.fnmatch_lines(["*the module is over*"])


def test_the_fixture_for_injection_needs_the_marker(run: Run) -> None:
    result = run("def test_it(kvmiommu_fail_nth): pass")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*kvmiommu_fail_nth needs the marker*"])


def test_a_skipped_test_is_skipped_once(run: Run) -> None:
    text = """
    import pytest

    @pytest.mark.kvmiommu_machine("powernv9")
    @pytest.mark.kvmiommu_fail_nth
    def test_it(vfio_container, kvmiommu_process):
        pass
    """
    run(text).assert_outcomes(skipped=1)


def test_python_is_the_one_that_runs_these_tests(pytester: pytest.Pytester) -> None:
    """What is shown above is shown of the package that these tests are run with."""
    code = "import kvmiommu; print(kvmiommu.__file__)"
    found = pytester.run(sys.executable, "-c", code).outlines
    assert found == [kvmiommu.__file__]
